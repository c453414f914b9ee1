"""Which steps make an image, of what each depends, and what each does. `python -m image` runs them."""

import platform
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from image import (
    application,
    archive,
    bill,
    bundle,
    disk,
    initramfs,
    loader,
    publication,
    release,
    system,
    trees,
    wheels,
)
from image.archive import Archive
from image.layers import Recipe, read, resolve
from image.signing import Signing
from image.steps import Results, Step, digest

HERE: Final = Path(__file__).parent
HOOKS: Final = HERE / "hooks"
TOOLS: Final = (
    *("e2fsprogs", "g++-aarch64-linux-gnu", "libc6-dev-arm64-cross", "make", "python3", "swig", "xz-utils"),
    *("libopus-dev:arm64", "libpython3.13-dev:arm64", "libsamplerate0-dev:arm64", "libsrtp2-dev:arm64"),
    *("libssl-dev:arm64", "uuid-dev:arm64"),
)
"""What a tree of this machine's own kind needs: trixie's Python, file system tools and cross compiler."""
INITRAMFS: Final = "etc/initramfs-tools"
_MACHINES: Final[Mapping[str, str]] = {"x86_64": "amd64", "aarch64": "arm64"}
HOST: Final = _MACHINES.get(platform.machine(), platform.machine())
"""Debian's name for this machine's kind."""
_MEMORY: Final = Path("/dev/shm")  # noqa: S108
_ROOM: Final = 6 << 30


def recipe(flavour: str) -> Recipe:
    """The flavour's recipe, from `layers/`."""
    return resolve(read(HERE / "layers"), flavour)


def later_hooks(packages: Sequence[str]) -> list[str]:
    """Has mmdebstrap take `packages`, and nothing else, from the suite after ours."""
    words = " ".join((archive.LATER, *packages))
    return [f"--setup-hook='{HOOKS / 'later.sh'}' \"$1\" {words}"]


def facts(checkout: Path) -> tuple[str, int]:
    """The version of what is built, from git: a later commit has a later one; and the commit's time in Unix seconds."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(checkout), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    commit, when = git("log", "-1", "--format=%h %ct").split()
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    watched = (*application.SOURCES, "image", "systemd", "requirements.txt")
    changed = "+" if git("status", "--porcelain", "--", *watched) else ""
    return f"{project['version']}.{git('rev-list', '--count', 'HEAD')}.g{commit}{changed}", int(when)


@dataclass(frozen=True)
class Build:
    """An image of `what` from `checkout`. `steps` lists what leads to it; each method is one step.

    `beside` are the archives beside Debian's that `what` asks for.
    """

    what: Recipe
    checkout: Path
    version: str
    epoch: int
    by: Signing
    beside: Sequence[Archive] = ()

    @cached_property
    def lock(self) -> str:
        """The locked packages that hold on the image."""
        return wheels.for_target((self.checkout / "requirements.txt").read_text())

    @property
    def sip(self) -> Path:
        """How the SIP engine is built."""
        return self.checkout / "drivers" / "sip_pjsua2" / "build"

    @property
    def initramfs_files(self) -> list[Path]:
        """Folders with what goes into /etc/initramfs-tools."""
        folders = [HERE / "overlay" / layer / INITRAMFS for layer in self.what.layers]
        return [folder for folder in folders if folder.is_dir()]

    def steps(self) -> list[Step]:
        """The steps in order. What is listed as material decides whether a step is done again."""
        engine = digest([path for path in self.sip.iterdir() if path.suffix != ".md"], self.checkout)
        in_tools = trees.command("", f"{HOST},arm64", TOOLS, (), archive.SUITE)
        wanted = (*self.what.packages, *self.what.later)
        in_root = trees.command("", "arm64", wanted, self.what.components, archive.SUITE)
        source = digest(application.sources(self.checkout), self.checkout)
        system_files = digest([HERE / "overlay", self.checkout / "systemd"], self.checkout)
        count = len(wanted)
        stamp = (self.version, str(self.epoch))
        trusted = self.by.authority.read_text() + self.by.public.decode()
        signer = self.by.certificate.read_text() + _code("bundle")
        foreign = tuple(one.digest for one in self.beside)
        steps = [
            Step("tools", "tools: a tree of this machine's kind", (repr(in_tools),), (), self.tools),
            Step(
                "packages",
                f"packages: {count} and what they need, for arm64 (the long one)",
                (HOST, repr(in_root), digest([HOOKS], HERE), *foreign),
                (),
                self.packages,
            ),
            Step(
                "initramfs",
                "initramfs",
                (_code("initramfs"), digest(self.initramfs_files, HERE)),
                ("packages",),
                self.initramfs,
            ),
            Step(
                "pjsua2",
                "pjsua2: cross-compiled",
                (engine,),
                ("tools",),
                self.pjsua2,
            ),
            Step(
                "wheels",
                f"wheels: {len(self.lock.splitlines())}",
                (self.lock, _code("wheels")),
                (),
                self.wheels,
            ),
            Step(
                "libraries",
                "libraries: unpacked and compiled",
                (_code("application"),),
                ("wheels", "pjsua2", "tools"),
                self.libraries,
            ),
            Step("release", "release: Handset itself", (source,), ("libraries", "tools"), self.release),
            Step(
                "image",
                "image: the system, its partitions, its bill of materials",
                (
                    *stamp,
                    repr(self.what),
                    _code("system", "disk", "firmware", "loader", "environment", "boot"),
                    system_files,
                    trusted,
                ),
                ("packages", "initramfs", "release"),
                self.image,
            ),
        ]
        last: tuple[str, ...] = ("image",)
        if self.what.two_systems:
            title = "bundle: the system as RAUC takes it"
            steps.append(Step("bundle", title, (*stamp, signer), ("image",), self.bundle))
            last = ("image", "bundle")
        return [*steps, Step("publish", "publish: compressed, with checksums", stamp, last, self.publish)]

    def release_steps(self) -> list[Step]:
        """The steps to the application's release alone."""
        wanted = ("tools", "pjsua2", "wheels", "libraries", "release")
        key = (self.version, self.by.public.decode(), _code("release"))
        return [
            *(step for step in self.steps() if step.name in wanted),
            Step("signed", "signed: the release in one file", key, ("release",), self.signed),
        ]

    def signed(self, folder: Path, done: Results) -> None:
        """What `handset update` takes."""
        release.write(done["release"] / "release", self.version, self.by.release, folder)

    def tools(self, folder: Path, _: Results) -> None:
        """`tree`: runs here, knows trixie."""
        entries = archive.sources(())
        command = trees.command(folder / "tree", f"{HOST},arm64", TOOLS, entries, archive.SUITE)
        trees.run(command, folder / "build.log")

    def packages(self, folder: Path, _: Results) -> None:
        """`root.tar`: all Debian packages of the image, installed; no initramfs yet."""
        hooks = [
            "--aptopt=#clear DPkg::Pre-Install-Pkgs",  # debconf asks nothing
            "--dpkgopt=path-exclude=/usr/lib/python3.13/py_compile.py",  # the second hook puts it back
            f"--extract-hook={HOOKS / 'native-begin.sh'}",
            f"--customize-hook={HOOKS / 'native-end.sh'}",
        ]
        entries = [*archive.sources(self.what.components), *(str(one.path) for one in self.beside)]
        if later := self.what.later:
            entries = archive.with_later(entries)
            hooks += later_hooks(later)
        wanted = (*self.what.packages, *later)
        command = trees.command(folder / "root.tar", "arm64", wanted, entries, archive.SUITE, hooks)
        roomy = _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM else folder
        environment = {"TMPDIR": str(roomy), "SOURCE_DATE_EPOCH": str(self.epoch)}
        trees.run(command, folder / "build.log", environment=environment)

    def initramfs(self, folder: Path, done: Results) -> None:
        """`initrd.img-RELEASE` for each kernel, with our scripts."""
        tree = folder / "tree"
        trees.unpack(done["packages"] / "root.tar", tree, folder / "build.log")
        files = [(source, tree / INITRAMFS) for source in self.initramfs_files]
        initramfs.generate(tree, files, folder / "build.log")
        for made in (tree / "boot").glob("initrd.img-*"):
            made.rename(folder / made.name)
        shutil.rmtree(tree)

    def pjsua2(self, folder: Path, done: Results) -> None:
        """The SIP engine's wheel."""
        trees.run([self.sip / "cross.sh", done["tools"] / "tree", folder], folder / "steps.log")

    def wheels(self, folder: Path, _: Results) -> None:
        """`wheels/`: the locked ones."""
        (folder / "wheels").mkdir()
        wheels.fetch(self.lock, folder / "wheels", folder / "build.log")

    def libraries(self, folder: Path, done: Results) -> None:
        """`site/`: the wheels together."""
        application.build_libraries(done["wheels"] / "wheels", done["pjsua2"], done["tools"] / "tree", folder)

    def release(self, folder: Path, done: Results) -> None:
        """`release/`: what the daemon runs from."""
        application.build_release(self.checkout, done["libraries"], done["tools"] / "tree", folder)

    def image(self, folder: Path, done: Results) -> None:
        """`disk.img`, and the lists of what is in it."""
        tree, boot, log, tools = (
            folder / "tree",
            folder / "boot",
            folder / "build.log",
            done["tools"] / "tree",
        )
        boot.mkdir()
        trees.unpack(done["packages"] / "root.tar", tree, log)
        for initrd in done["initramfs"].glob("initrd.img-*"):
            shutil.copyfile(initrd, tree / "boot" / initrd.name)
        for name in ("python3", "python3.13"):
            application.compile_python(tools, tree / "usr" / "lib" / name, f"/usr/lib/{name}", log)
        system.certificates(tree, log)
        named = {"IMAGE_ID": "handset", "IMAGE_VERSION": self.version, "VARIANT_ID": self.what.flavour}
        system.compose(
            self.what,
            tree,
            boot,
            self.checkout,
            done["release"] / "release",
            named,
            self.by,
            self.epoch,
            log,
        )
        made_of = [*(done["wheels"] / "wheels").glob("*.whl"), *done["pjsua2"].glob("*.whl")]
        found = bill.collect(tree, tree / application.HOME.lstrip("/") / "site", made_of)
        (folder / "packages.tsv").write_text(bill.listing(found))
        document = bill.spdx(f"handset-{self.what.flavour}", self.version, found, self.epoch)
        (folder / "sbom.spdx.json").write_text(document)
        disk.fill(tree, boot, folder / "disk.img", tools, self.epoch, log)
        if self.what.two_systems:
            loader.write_variables(folder / "disk.img")
        shutil.rmtree(tree)
        shutil.rmtree(boot)

    def bundle(self, folder: Path, done: Results) -> None:
        """`system.raucb`: root A, signed."""
        bundle.pack(done["image"] / "disk.img", self.version, self.by, folder / "system.raucb", self.epoch)

    def publish(self, folder: Path, done: Results) -> None:
        """The files that go out."""
        stem = f"handset-{self.version}-{self.what.flavour}-arm64"
        source, packed = done["image"] / "disk.img", folder / f"{stem}.img.zst"
        trees.run(["zstd", "-q", "-T0", "-10", source, "-o", packed], folder / "build.log")
        (folder / "build.log").unlink()
        found = publication.Package(
            packed.name,
            packed.stat().st_size,
            publication.sha256(packed),
            source.stat().st_size,
            publication.sha256(source),
        )
        released = datetime.fromtimestamp(self.epoch, UTC).date().isoformat()
        manifest = publication.imager(found, self.what.flavour, self.version, released)
        (folder / f"{stem}.rpi-imager-manifest").write_text(manifest)
        for name in ("packages.tsv", "sbom.spdx.json"):
            shutil.copyfile(done["image"] / name, folder / f"{stem}.{name}")
        if "bundle" in done:
            shutil.copyfile(done["bundle"] / "system.raucb", folder / f"{stem}.raucb")
        digests = {path.name: publication.sha256(path) for path in folder.iterdir()}
        digests[f"{stem}.img"] = found.sha256
        (folder / "SHA256SUMS").write_text(publication.checksums(digests))


def _code(*names: str) -> str:
    paths = [HERE / name for name in names]
    return digest([path if path.is_dir() else path.with_suffix(".py") for path in paths], HERE)
