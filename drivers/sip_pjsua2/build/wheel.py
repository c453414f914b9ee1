# SPDX-License-Identifier: Apache-2.0
"""The Python half of pjsua2.sh: describe a Python, pack the engine as a wheel, install that wheel, try the engine.

Uses the standard library only and runs with the Python that gets the engine: pip and setuptools may be missing there.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import os
import platform
import sys
import sysconfig
import zipfile
from pathlib import Path

METADATA = """\
Metadata-Version: 2.1
Name: pjsua2
Version: {version}
Summary: PJSIP's Python module, built by Handset from Debian's source
Home-page: https://www.pjsip.org
License: GPL-2.0-or-later
License-File: COPYING
"""
WHEEL = """\
Wheel-Version: 1.0
Generator: handset
Root-Is-Purelib: false
Tag: {tag}
"""
CODECS = ("opus/48000/2", "G722/16000/1", "PCMU/8000/1", "PCMA/8000/1")


def tag() -> str:
    """Return interpreter and ABI in one word, as in cp311 or cp313t."""
    return "cp{}{}{}".format(*sys.version_info[:2], getattr(sys, "abiflags", ""))


def describe() -> int:
    """Print what the build must know of this Python; the include folder comes last, it may contain spaces."""
    if sys.prefix == sys.base_prefix or platform.python_implementation() != "CPython":
        return 1
    variables = sysconfig.get_config_vars()
    print(
        tag(),
        variables["EXT_SUFFIX"],
        "{}.{}".format(*sys.version_info[:2]),
        sys.base_prefix,
        sysconfig.get_path("include"),
    )
    return 0


def record(name: str, content: bytes) -> tuple[str, str, str]:
    """Return the line of RECORD for one file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return name, f"sha256={digest}", str(len(content))


def pack(stage: Path, licence: Path, version: str, target: Path) -> int:
    """Make a wheel of the module's files in `stage`; the same files always give the same wheel."""
    abi = f"{tag()}-{tag()}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
    info = f"pjsua2-{version}.dist-info"
    files = {
        path.name: path.read_bytes() for path in sorted(stage.iterdir()) if path.suffix in {".py", ".so"}
    }
    files[f"{info}/METADATA"] = METADATA.format(version=version).encode()
    files[f"{info}/WHEEL"] = WHEEL.format(tag=abi).encode()
    files[f"{info}/licenses/COPYING"] = licence.read_bytes()
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerows(record(name, content) for name, content in files.items())
    writer.writerow((f"{info}/RECORD", "", ""))
    files[f"{info}/RECORD"] = lines.getvalue().encode()
    with zipfile.ZipFile(target / f"pjsua2-{version}-{abi}.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return 0


def remove(distribution: str, *, keep: set[Path]) -> None:
    """Remove an installed distribution, file by file, but not the files in `keep`."""
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return
    site = Path(sysconfig.get_path("platlib"))
    folders: set[Path] = set()
    for file in found.files or []:
        path = Path(os.path.normpath(str(found.locate_file(file))))
        if site in path.parents and path not in keep:
            path.unlink(missing_ok=True)
            folders.update(parent for parent in path.parents if site in parent.parents)
    for folder in sorted(folders, reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def install(source: Path) -> int:
    """Put the wheel's files into this environment, each in one step, so that a running engine keeps its old ones."""
    site = Path(sysconfig.get_path("platlib"))
    with zipfile.ZipFile(source) as wheel:
        files = {site / name: wheel.read(name) for name in wheel.namelist()}
    same = all(path.is_file() and path.read_bytes() == content for path, content in files.items())
    for name in ("pjsua2", "pjsua2-python"):
        remove(name, keep=set(files))  # an older build, and PyPI's wheel, which has the same module
    for path, content in files.items():
        if same:
            break
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(content)
        part.replace(path)
    version = source.name.split("-")[1]
    done = "is already" if same else "installed"
    print(f"pjsua2 {version} for {tag()} {done} in {sys.prefix} (kept as {source})")
    return 0


def attempt(stage: Path) -> int:
    """Start the engine from `stage` without a sound device and see that it has what Handset needs."""
    sys.path.insert(0, str(stage))
    import pjsua2 as pj  # just built, and only there

    endpoint = pj.Endpoint()
    endpoint.libCreate()
    settings = pj.EpConfig()
    settings.uaConfig.threadCnt = 0
    settings.logConfig.consoleLevel = 2
    endpoint.libInit(settings)
    loopback = pj.TransportConfig()
    loopback.boundAddress = "127.0.0.1"
    for kind in (pj.PJSIP_TRANSPORT_UDP, pj.PJSIP_TRANSPORT_TCP, pj.PJSIP_TRANSPORT_TLS):
        endpoint.transportCreate(kind, loopback)
    endpoint.audDevManager().setNullDev()
    endpoint.libStart()
    codecs = [codec.codecId for codec in endpoint.codecEnum2()]
    print("codecs:", *codecs)
    endpoint.libDestroy()
    missing = [codec for codec in CODECS if codec not in codecs]
    if not hasattr(pj.ByteVector, "assign_from_bytes"):
        missing.append("ByteVector.assign_from_bytes")
    if missing:
        print("missing:", *missing)
    return 1 if missing else 0


def main(command: str, *arguments: str) -> int:
    """Do one of: python | pack STAGE LICENCE VERSION TARGET | install WHEEL | try STAGE."""
    if command == "python":
        return describe()
    if command == "pack":
        stage, licence, version, target = arguments
        return pack(Path(stage), Path(licence), version, Path(target))
    if command == "install":
        return install(Path(arguments[0]))
    return attempt(Path(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
