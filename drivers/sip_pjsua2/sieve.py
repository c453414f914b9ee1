# SPDX-License-Identifier: GPL-2.0-or-later
"""Two modules in the SIP library's stack: one drops or refuses requests before anything answers them, and changes what
responses say before anything heeds them; one answers the requests that nothing did.

pjsua2 has no such hooks: its library answers OPTIONS and calls by itself, and methods that it does not know never. But
the C function that adds a module is in the same file, and modules see a request before and after the layers that
answer. The library calls ours in `libHandleEvents`, on the main thread.
"""

import ctypes
import logging
from collections.abc import Callable
from typing import Any, Final

from drivers.sip_pjsua2 import native, received
from drivers.sip_pjsua2.screen import Address

logger = logging.getLogger(__name__)

SILENCE: Final = 0
NO_SUCH_CALL: Final = 481
NOT_IMPLEMENTED: Final = 501
_WITHIN_CALLS: Final = frozenset({b"BYE", b"CANCEL", b"INFO", b"PRACK", b"UPDATE"})
Verdict = Callable[[Address, bytes], int | None]
"""A code to answer a request with, SILENCE for none, None where it goes its way."""
Reading = Callable[[Address, bytes], int | None]
"""The code that a response is to be taken for, None where it says what it says."""
_RESPONSE: Final = 1
"""PJSIP_RESPONSE_MSG, the first field of struct pjsip_msg; the code of a response follows at 8."""
_CODE_AT: Final = 8
_AFTER_TRANSPORT: Final = 9
"""The transport layer has 8, the transactions, which are the first to answer, 16."""
_AFTER_ALL: Final = 127
"""The library's own last ones have 64."""

_OnMessage = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class _Module(ctypes.Structure):
    """struct pjsip_module."""

    _fields_ = (
        ("prev", ctypes.c_void_p),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("name_length", ctypes.c_ssize_t),
        ("id", ctypes.c_int),
        ("priority", ctypes.c_int),
        ("load", ctypes.c_void_p),
        ("start", ctypes.c_void_p),
        ("stop", ctypes.c_void_p),
        ("unload", ctypes.c_void_p),
        ("on_rx_request", _OnMessage),
        ("on_rx_response", _OnMessage),
        ("on_tx_request", ctypes.c_void_p),
        ("on_tx_response", ctypes.c_void_p),
        ("on_tsx_state", ctypes.c_void_p),
    )


class Sieve:
    """Lives as long as the library: it holds what the library points to."""

    def __init__(self, verdict: Verdict, reading: Reading) -> None:
        """Put it in place, once the library is initialised. Raise OSError where it cannot be."""
        self._verdict = verdict
        self._reading = reading
        self.blind = False
        """It cannot read the library's requests, and lets them all through."""
        code = native.library()
        try:
            find, self._register = code.pjsua_get_pjsip_endpt, code.pjsip_endpt_register_module
        except AttributeError as error:
            raise OSError("the library does not export its modules' functions") from error
        find.restype = ctypes.c_void_p
        self._register.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        self._endpoint = find()
        self._respond = getattr(code, "pjsip_endpt_respond_stateless", None)
        if self._respond is not None:
            pointer = ctypes.c_void_p
            self._respond.argtypes = (pointer, pointer, ctypes.c_int, pointer, pointer, pointer)
        self._modules = (
            self._add(b"handset-sieve", _AFTER_TRANSPORT, self._first, self._response),
            self._add(b"handset-last", _AFTER_ALL, self._last),
        )

    def _add(
        self,
        name: bytes,
        priority: int,
        on_request: Callable[[Any], int],
        on_response: Callable[[Any], int] | None = None,
    ) -> _Module:
        module = _Module(
            name=name,
            name_length=len(name),
            id=-1,
            priority=priority,
            on_rx_request=_OnMessage(on_request),
            on_rx_response=_OnMessage(on_response) if on_response is not None else _OnMessage(),
        )
        status = self._register(self._endpoint, ctypes.addressof(module))
        if status:
            raise OSError(f"the library did not take our module: {status}")
        return module

    def _first(self, data: Any) -> int:
        """1 ends it here: nobody else sees the request. Nothing may escape into the library."""
        try:
            code = self._verdict(*self._read(data))
            return int(code is not None and (code == SILENCE or self._answer(data, code)))
        except Exception as error:  # noqa: BLE001
            if not self.blind:
                self.blind = True
                logger.warning("strangers are refused, not ignored: %s", error)
            return 0

    def _response(self, data: Any) -> int:
        """Always goes on; where it cannot be changed that should be, it is dropped."""
        try:
            raw = ctypes.string_at(data, received.SIZE)
            source, text = received.read(raw, int(data))
            code = self._reading(source, text)
            if code is None:
                return 0
            return int(not _take_for(received.parsed(raw, int(data)), text, code))
        except Exception as error:  # noqa: BLE001
            if not self.blind:
                self.blind = True
                logger.warning("any host may ask for the account's password: %s", error)
            return 0

    def _last(self, data: Any) -> int:
        """What nobody else took (RFC 3261, 8.2.1). An ACK is never answered."""
        try:
            method = self._read(data)[1].split(b" ", 1)[0]
            code = NO_SUCH_CALL if method in _WITHIN_CALLS else NOT_IMPLEMENTED
            return int(method != b"ACK" and self._answer(data, code))
        except Exception as error:  # noqa: BLE001
            logger.info("a request that nobody understands gets no answer: %s", error)
            return 0

    def _answer(self, data: Any, code: int) -> bool:
        """False where this library cannot."""
        return self._respond is not None and not self._respond(self._endpoint, data, code, None, None, None)

    @staticmethod
    def _read(data: Any) -> tuple[Address, bytes]:
        return received.read(ctypes.string_at(data, received.SIZE), int(data))


def _take_for(message: int, text: bytes, code: int) -> bool:
    """Have the library take a response for one with another code; False where it is not laid out as we know it."""
    kind = ctypes.c_int.from_address(message)
    status = ctypes.c_int.from_address(message + _CODE_AT)
    if kind.value != _RESPONSE or not text.startswith(f"SIP/2.0 {status.value} ".encode()):
        return False
    status.value = code
    return True
