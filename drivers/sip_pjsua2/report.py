# SPDX-License-Identifier: GPL-2.0-or-later
"""What the installed library can do, for `handset doctor` and for refusing TLS with an outdated OpenSSL."""

import ctypes
import re
from pathlib import Path
from typing import Any, Final

import pjsua2 as pj

OLDEST_SOUND: Final = (1, 1, 1)
ENOUGH: Final = 128

# Destroying a call that is under way aborts: these die with the process.
_kept: list[Any] = []


def _loaded(name: str) -> str:
    """The file of that library; where there are several, the one that came with pjsua2, and not Python's own."""
    paths = [
        line.split(maxsplit=5)[-1]
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    ]
    found = [path for path in paths if name in Path(path).name]
    return next((path for path in found if "pjsua2" in path), found[0] if found else "")


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


def _max_calls(endpoint: Any) -> int:
    """The compiled limit. The wheel exports a function that tells; our own build hides it, and is asked by trying."""
    try:
        return int(ctypes.CDLL(_loaded("_pjsua2")).pjsua_call_get_max_count())
    except AttributeError:
        return _count_calls(endpoint)


def _count_calls(endpoint: Any) -> int:
    endpoint.audDevManager().setNullDev()
    transport = pj.TransportConfig()
    transport.boundAddress = "127.0.0.1"
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    config = pj.AccountConfig()
    config.idUri = "sip:handset@127.0.0.1"
    config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
    account = pj.Account()
    account.create(config)
    calls: list[Any] = []
    try:
        while len(calls) < ENOUGH:
            call = pj.Call(account)
            # Port 9 of our own machine, where nobody listens; the process ends before anything is repeated.
            call.makeCall("sip:nobody@127.0.0.1:9", pj.CallOpParam(True))
            calls.append(call)
    except pj.Error:
        return len(calls)
    finally:
        _kept.append((account, calls))
    return len(calls)


def library_report() -> dict[str, Any]:
    """Starts the library in this process, which is good for nothing else then, and must end by os._exit."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.maxCalls = ENOUGH
    config.uaConfig.mainThreadOnly = True
    config.medConfig.maxMediaPorts = 2 * ENOUGH
    config.logConfig.level = config.logConfig.consoleLevel = 0
    endpoint.libInit(config)
    codecs = [str(codec.codecId) for codec in endpoint.codecEnum2()]
    result: dict[str, Any] = {
        "version": str(endpoint.libVersion().full),
        "max_calls": 0,
        "openssl": openssl_version(),
        "old_openssl": old_openssl(),
        "ipv6": pj.AccountConfig().sipConfig.ipv6Use != pj.PJSUA_IPV6_DISABLED,
        "opus": any(codec.lower().startswith("opus/") for codec in codecs),
        "codecs": codecs,
    }
    result["max_calls"] = _max_calls(endpoint)
    _kept.append(endpoint)
    return result
