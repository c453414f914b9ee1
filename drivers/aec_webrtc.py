"""Echo cancellation, noise suppression and high-pass by WebRTC's audio processing module, from the livekit wheel.

The wheel brings a whole conferencing client; only its library's signal processing is used, and no server. The
library is asked directly through its C interface, which takes protobuf messages: the wheel's own Python package
would load the client's classes and all its messages, 5 MB and a tenth of a second, for the four that are built
here. Their numbers are those of livekit's ffi.proto and audio_frame.proto; a unit test compares each with the
wheel's own, and an answer of another kind is refused.
"""

import atexit
import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from appliance.errors import DeviceUnavailable
from appliance.frames import BYTES_PER_SAMPLE, WORKING_RATE

SAMPLES: Final = WORKING_RATE // 100
BYTES: Final = SAMPLES * BYTES_PER_SAMPLE
NEW_MODULE: Final = 50
NEAR_END: Final = 51
FAR_END: Final = 52
STREAM_DELAY: Final = 53
"""The requests, as they are numbered in FfiRequest; in FfiResponse, each answer has the number before."""
_NUMBER: Final = 0
_BYTES: Final = 2
"""The kinds of field, as protobuf numbers them, that occur here."""


class WebRtcEchoCanceller:
    """Implements interfaces.EchoCanceller. It finds the echo's delay, up to 200 ms, by itself; it adds 8-14 ms."""

    def __init__(self, *, noise_suppression: bool = True) -> None:
        echo, gain, high_pass = True, False, True
        answer = _ask(NEW_MODULE, message(NEW_MODULE, echo, gain, high_pass, noise_suppression))
        self._module = handle_in(answer)
        _ask(STREAM_DELAY, message(STREAM_DELAY, self._module, 0))
        # The library works in place: one frame's memory for each direction, and requests that never change.
        self._near, self._near_request = self._frame(NEAR_END)
        self._far, self._far_request = self._frame(FAR_END)

    def far_end(self, pcm: bytes) -> None:
        self._process(FAR_END, self._far, self._far_request, pcm)

    def near_end(self, pcm: bytes) -> bytes:
        self._process(NEAR_END, self._near, self._near_request, pcm)
        return self._near.raw

    def close(self) -> None:
        """Release the module; a second time, nothing."""
        module, self._module = self._module, 0
        if module:
            _LIBRARY.livekit_ffi_drop_handle(module)

    def _frame(self, request: int) -> tuple["ctypes.Array[ctypes.c_char]", bytes]:
        memory = ctypes.create_string_buffer(BYTES)
        where = ctypes.addressof(memory)
        return memory, message(request, self._module, where, BYTES, WORKING_RATE, 1)

    def _process(self, kind: int, memory: "ctypes.Array[ctypes.c_char]", request: bytes, pcm: bytes) -> None:
        # More than a matter of form: the library ends the process over another length.
        if len(pcm) != BYTES:
            raise ValueError(
                f"the echo canceller takes {SAMPLES} samples, not {len(pcm) // BYTES_PER_SAMPLE}"
            )
        if not self._module:
            raise DeviceUnavailable("the echo canceller is closed")
        memory.raw = pcm
        answer = _answer(request)
        if answer != _FINE[kind] and body_of(answer, kind - 1):
            raise DeviceUnavailable("the echo canceller refused a frame")


def message(request: int, *numbers: int) -> bytes:
    """An FfiRequest whose fields are all numbers, in their order from 1 on."""
    body = b"".join(
        _varint(at << 3 | _NUMBER) + _varint(number) for at, number in enumerate(numbers, start=1)
    )
    return _varint(request << 3 | _BYTES) + _varint(len(body)) + body


def body_of(answer: bytes, number: int) -> bytes:
    """What stands in field `number`, with which `answer` must begin. Raise DeviceUnavailable where it does not."""
    start = _varint(number << 3 | _BYTES)
    if not answer.startswith(start):
        raise DeviceUnavailable("the livekit library's answers are of an unknown kind")
    length, at = _number_at(answer, len(start))
    return answer[at : at + length]


def handle_in(answer: bytes) -> int:
    """The new module's handle: NewApmResponse.apm.handle.id."""
    handle = body_of(body_of(answer, 1), 1)
    start = _varint(1 << 3 | _NUMBER)
    number = _number_at(handle, len(start))[0] if handle.startswith(start) else 0
    if not number:
        raise DeviceUnavailable("the livekit library gave no echo canceller")
    return number


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_FINE: Final = {kind: message(kind - 1) for kind in (NEAR_END, FAR_END)}
"""An answer without a fault has an empty body: two hundred a second are not to be taken apart."""


def _ask(request: int, asked: bytes) -> bytes:
    """The body of the library's answer. Raise DeviceUnavailable when it gave none."""
    return body_of(_answer(asked), request - 1)


def _answer(asked: bytes) -> bytes:
    """All of the library's answer. Raise DeviceUnavailable when it gave none."""
    start, length = ctypes.c_void_p(), ctypes.c_size_t()
    handle = _LIBRARY.livekit_ffi_request(asked, len(asked), ctypes.byref(start), ctypes.byref(length))
    if not handle:
        raise DeviceUnavailable("the livekit library refused a request")
    try:
        return ctypes.string_at(start, length.value)
    finally:
        _LIBRARY.livekit_ffi_drop_handle(handle)


def _number_at(data: bytes, at: int) -> tuple[int, int]:
    """The varint there, and where it ends."""
    number, shift = 0, 0
    for end in range(at, len(data)):
        number |= (data[end] & 0x7F) << shift
        shift += 7
        if data[end] < 0x80:
            return number, end + 1
    raise DeviceUnavailable("the livekit library's answer is cut off")


def _load() -> ctypes.CDLL:
    """The wheel's library; an ImportError, as for any module, where it is missing."""
    package = find_spec("livekit.rtc")
    if package is None or package.origin is None:
        raise ImportError("there is no livekit", name="livekit")
    path = Path(package.origin).parent / "resources" / "liblivekit_ffi.so"
    try:
        library = ctypes.CDLL(str(path))
        library.livekit_ffi_request.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_size_t),
        ]
        library.livekit_ffi_request.restype = ctypes.c_uint64
        library.livekit_ffi_drop_handle.argtypes = [ctypes.c_uint64]
        library.livekit_ffi_drop_handle.restype = ctypes.c_bool
        # Its threads must not outlive what they use.
        atexit.register(library.livekit_ffi_dispose)
    except (OSError, AttributeError) as error:
        raise ImportError(f"livekit's library cannot be used: {error}", name="livekit") from error
    return library


_LIBRARY: Final = _load()
