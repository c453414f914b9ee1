"""A whole Debian that runs under its own systemd, in namespaces of its own: booted, entered, and cut off its power.

`make booted` puts it into a directory; here it is started from there. It has no devices, and no network but a loopback.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.rig.peer import start_process

ROOT = os.environ.get("HANDSET_BOOTED", "")
_START = """
mount --make-rprivate /
mount --bind {root} {root}
cd {root}
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do : > dev/$device; mount --bind /dev/$device dev/$device; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
ip link set lo up
pivot_root . mnt
cd /
umount -l /mnt
mount --make-rshared /
exec /usr/bin/env -i container=lxc PATH=/usr/sbin:/usr/bin /lib/systemd/systemd
"""
_CGROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


class BootedSystem:
    """`start` boots; `cut_power` ends every process of it at once, without a word; it may then be started again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._cgroup = (
            next(path for path in _CGROUPS if (path / "cgroup.procs").exists()) / f"handset-{os.getpid()}"
        )
        self._outer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            with contextlib.suppress(Exception):
                error.add_note(self.run("journalctl", "--no-pager", "-n", "80").stdout)
        self.cut_power()

    def start(self) -> None:
        """Returns when systemd answers."""
        self._cgroup.mkdir(exist_ok=True)
        join = f"echo $$ > {self._cgroup}/cgroup.procs"
        spaces = "unshare --mount --uts --ipc --pid --net --cgroup --fork --kill-child"
        script = f"{join}; exec {spaces} sh -ec '{_START.format(root=self.root)}'"
        self._outer = start_process(["sh", "-c", script], self.root, str(self.root) + ".console")
        self.until(
            lambda: self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 90
        )

    def cut_power(self) -> None:
        init = self._init()
        if init is not None:
            init.send_signal(signal.SIGKILL)
        if self._outer is not None:
            self._outer.wait(20)
            self._outer = None
        with contextlib.suppress(OSError):
            for below in sorted((path for path in self._cgroup.rglob("*") if path.is_dir()), reverse=True):
                below.rmdir()
            self._cgroup.rmdir()

    def run(self, *words: str, within: float = 60.0) -> subprocess.CompletedProcess[str]:
        """A program inside, to its end."""
        init = self._init()
        if init is None:
            return subprocess.CompletedProcess(words, 255, "", "it does not run")
        enter = ["nsenter", "-t", str(init.pid), "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup"]
        environ = ["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8"]
        return subprocess.run(
            [*enter, *environ, *words], capture_output=True, text=True, check=False, timeout=within
        )

    def shown(self, key: str, unit: str = "handset.service") -> str:
        return self.run("systemctl", "show", "-P", key, unit).stdout.strip()

    def log(self, *words: str) -> str:
        return self.run("journalctl", "--no-pager", *words).stdout

    def until(self, true: Callable[[], bool], within: float) -> None:
        deadline = time.monotonic() + within
        while not true():
            assert time.monotonic() < deadline, self.log("-n", "60")
            time.sleep(0.3)

    def _init(self) -> psutil.Process | None:
        if self._outer is None or self._outer.poll() is not None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._outer.pid).children(recursive=True):
                if process.name() == "systemd":
                    return process
        return None


def thin_release(root: Path, into: Path, version: str, *, run: str = "") -> Path:
    """A release's folder that takes all but its version from the system's release.

    `run` is a line of shell in place of `handset run`.
    """
    factory = root / "usr/lib/handset/release"
    (into / "bin").mkdir(parents=True)
    [about] = factory.glob("site/handset-*.dist-info")
    shutil.copytree(about, into / f"site/handset-{version}.dist-info")
    metadata = into / f"site/handset-{version}.dist-info/METADATA"
    metadata.write_text(
        metadata.read_text().replace(f"Version: {about.name[8:-10]}\n", f"Version: {version}\n")
    )
    program = (factory / "bin/handset").read_text()
    program = program.replace('"$release/site"', '"$release/site:/usr/lib/handset/release/site"')
    if run:
        program = program.replace("exec ", f'if [ "$1" = run ]; then {run}; fi\nexec ', 1)
    (into / "bin/handset").write_text(program)
    (into / "bin/handset").chmod(0o755)
    return into
