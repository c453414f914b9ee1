# SPDX-License-Identifier: Apache-2.0
"""Messages between Handset and the SIP process: a pure codec, no I/O.

One message is one packet of a SOCK_SEQPACKET socket, so that a non-blocking send takes all of it or nothing.
Every packet starts with its own length and kind; a packet that does not match them exactly is refused.

    length u32 | kind u8 | body          big endian; `length` counts kind and body
    CONTROL   body = a JSON object with a string "type"
    AUDIO     body = call u32 | stream u32 | seq u32 | monotonic ns u64 | taken u32 | PCM s16le mono

`stream` changes whenever the call's audio starts anew (after hold, in another leg); frames of an older one are dropped.
`taken` (child to parent) is how many of the parent's frames of this stream went into RTP; it is 0 the other way.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

MAX_CONTROL: Final = 64 * 1024
MAX_PCM: Final = 48_000 // 50 * 2
MAX_PACKET: Final = MAX_CONTROL + 5

_HEAD: Final = struct.Struct("!IB")
_AUDIO: Final = struct.Struct("!IIIQI")
_SEQUENCE: Final = 0xFFFF_FFFF


class Malformed(ValueError):
    """The packet is not a message of this protocol."""


class Kind(IntEnum):
    CONTROL = 1
    AUDIO = 2


@dataclass(frozen=True, slots=True)
class Control:
    """A command, or an event: what to do is in `body["type"]`."""

    body: Mapping[str, Any]

    @property
    def type(self) -> str:
        return str(self.body["type"])


@dataclass(frozen=True, slots=True)
class Audio:
    """At most 20 ms of a call; `at` is the monotonic nanosecond at which the sender had it, `seq` wraps at 2**32."""

    call: int
    stream: int
    seq: int
    at: int
    pcm: bytes
    taken: int = 0


def encode_control(body: Mapping[str, Any]) -> bytes:
    """Raise Malformed for a body without a type, not JSON, or too long."""
    if not isinstance(body.get("type"), str):
        raise Malformed("a control message needs a type")
    try:
        text = json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from error
    if len(text) > MAX_CONTROL:
        raise Malformed(f"control message of {len(text)} bytes")
    return _HEAD.pack(1 + len(text), Kind.CONTROL) + text


def encode_audio(call: int, stream: int, seq: int, at: int, pcm: bytes, taken: int = 0) -> bytes:
    """Raise Malformed when a field is out of range."""
    if not pcm or len(pcm) > MAX_PCM or len(pcm) % 2:
        raise Malformed(f"{len(pcm)} bytes of PCM")
    try:
        body = _AUDIO.pack(call, stream, seq & _SEQUENCE, at, taken & _SEQUENCE)
    except struct.error as error:
        raise Malformed(str(error)) from error
    return b"".join((_HEAD.pack(1 + len(body) + len(pcm), Kind.AUDIO), body, pcm))


def decode(packet: bytes) -> Control | Audio:
    """The message in `packet`; raise Malformed for anything else."""
    if len(packet) < _HEAD.size or len(packet) > MAX_PACKET:
        raise Malformed(f"packet of {len(packet)} bytes")
    length, kind = _HEAD.unpack_from(packet)
    if length != len(packet) - 4:
        raise Malformed(f"length {length} in a packet of {len(packet)} bytes")
    if kind == Kind.AUDIO:
        return _decode_audio(packet)
    if kind == Kind.CONTROL:
        return _decode_control(packet)
    raise Malformed(f"kind {kind}")


def _decode_audio(packet: bytes) -> Audio:
    start = _HEAD.size + _AUDIO.size
    size = len(packet) - start
    if size <= 0 or size > MAX_PCM or size % 2:
        raise Malformed(f"{size} bytes of PCM")
    call, stream, seq, at, taken = _AUDIO.unpack_from(packet, _HEAD.size)
    return Audio(call, stream, seq, at, packet[start:], taken)


def _decode_control(packet: bytes) -> Control:
    try:
        body = json.loads(packet[_HEAD.size :].decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise Malformed("a control message is an object with a type")
    return Control(body)


def sequence_gap(newer: int, older: int) -> int:
    """How far `newer` is ahead of `older`, both modulo 2**32; negative when behind."""
    gap = (newer - older) & _SEQUENCE
    return gap - (1 << 32) if gap > 1 << 31 else gap
