# SPDX-License-Identifier: GPL-2.0-or-later
"""What the installed library can do, for `handset doctor` and for refusing TLS with an outdated OpenSSL."""

import ctypes
import re
from pathlib import Path
from typing import Any, Final

import pjsua2 as pj

OLDEST_SOUND: Final = (1, 1, 1)


def _loaded(name: str) -> str:
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        path = line.split(maxsplit=5)[-1]
        if name in Path(path).name:
            return path
    return ""


def openssl_version() -> str:
    """The version text of the OpenSSL that the library loaded, or ""."""
    path = _loaded("libcrypto")
    if not path:
        return ""
    library = ctypes.CDLL(path)
    try:
        version = library.OpenSSL_version
    except AttributeError:
        version = library.SSLeay_version
    version.restype = ctypes.c_char_p
    return str(version(0).decode("ascii", "replace"))


def old_openssl() -> bool:
    """Whether that OpenSSL is too old to be trusted on a network."""
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", openssl_version())
    return match is not None and tuple(int(part) for part in match.groups()) < OLDEST_SOUND


def _max_calls() -> int:
    library = ctypes.CDLL(_loaded("_pjsua2"))
    return int(library.pjsua_call_get_max_count())


def library_report() -> dict[str, Any]:
    """Starts and ends the library in this process: nothing else may use it."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.maxCalls = 1024
    config.logConfig.level = config.logConfig.consoleLevel = 0
    endpoint.libInit(config)
    codecs = [str(codec.codecId) for codec in endpoint.codecEnum2()]
    result = {
        "version": str(endpoint.libVersion().full),
        "max_calls": _max_calls(),
        "openssl": openssl_version(),
        "old_openssl": old_openssl(),
        "opus": any(codec.lower().startswith("opus/") for codec in codecs),
        "codecs": codecs,
    }
    endpoint.libDestroy()
    return result
