# SPDX-License-Identifier: Apache-2.0
"""Whether the audio that an INVITE offers can be had: by its encryption, where the call is new, and within a call by
its codecs. The library refuses with the wrong code.

Pure; takes any bytes that a network can bring.
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterable
from typing import Final

_IN_DIALOGUE: Final = re.compile(rb"(?im)^(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=")
_AUDIO: Final = re.compile(rb"(?m)^m=audio[ \t]+([0-9]+)(?:/[0-9]+)?[ \t]+(\S+)")
_MEDIA: Final = re.compile(rb"(?m)^(?=m=)")
_CRYPTO: Final = re.compile(rb"(?m)^a=crypto:\S+[ \t]+(\w+)[ \t]+inline:([A-Za-z0-9+/=]+)")
_KEY_BYTES: Final = {
    b"AES_CM_128_HMAC_SHA1_80": 30,
    b"AES_CM_128_HMAC_SHA1_32": 30,
    b"AES_192_CM_HMAC_SHA1_80": 38,
    b"AES_192_CM_HMAC_SHA1_32": 38,
    b"AES_256_CM_HMAC_SHA1_80": 46,
    b"AES_256_CM_HMAC_SHA1_32": 46,
    b"AEAD_AES_128_GCM": 28,
    b"AEAD_AES_256_GCM": 44,
}
_LISTED: Final = re.compile(rb"(?m)^m=audio[ \t]+[0-9]+(?:/[0-9]+)?[ \t]+\S+((?:[ \t]+[0-9]+)+)")
_NAMED: Final = re.compile(rb"(?m)^a=rtpmap:([0-9]+)[ \t]+([^/\s]+)/")
_STATIC: Final = {b"0": "pcmu", b"3": "gsm", b"8": "pcma", b"9": "g722", b"18": "g729"}
UNSPOKEN: Final = "it offers no audio in one of sip.codecs"
OFF: Final = "the call is offered encrypted only, and sip.srtp is off"
NO_KEY: Final = "the call is offered encrypted, with no key that can be used"
PLAIN: Final = "the call is offered unencrypted only, and sip.srtp is mandatory"


def refusal(invite: bytes, srtp: Iterable[str]) -> str:
    """Why none of the audio of a new call can be had, by any of these `sip.srtp`; "" where some can."""
    head, _, body = invite.partition(b"\r\n\r\n")
    if not head.startswith(b"INVITE ") or _IN_DIALOGUE.search(head):
        return ""
    audio = [part for part in _MEDIA.split(body) if (line := _AUDIO.match(part)) and int(line[1])]
    faults = [_fault(part, setting) for part in audio for setting in srtp]
    return faults[0] if faults and all(faults) else ""


def unspoken(invite: bytes, codecs: Collection[str]) -> bool:
    """Whether an offer within a call has nothing in one of `codecs` (lower case): refused, and the call goes on."""
    head, _, body = invite.partition(b"\r\n\r\n")
    if not head.startswith(b"INVITE ") or not _IN_DIALOGUE.search(head) or not _MEDIA.search(body):
        return False
    audio = [part for part in _MEDIA.split(body) if part.startswith(b"m=audio")]
    return not any(_names(part) & {*codecs} for part in audio)


def _names(audio: bytes) -> set[str]:
    line = _LISTED.match(audio)
    given = {number: name.decode("latin-1").lower() for number, name in _NAMED.findall(audio)}
    return {given.get(number, _STATIC.get(number, "")) for number in (line[1].split() if line else ())}


def _fault(audio: bytes, srtp: str) -> str:
    line = _AUDIO.match(audio)
    profile = line[2].upper() if line is not None else b""
    if profile in (b"RTP/AVP", b"RTP/AVPF"):
        # Best effort: keys may be offered with a plain profile.
        return PLAIN if srtp == "mandatory" and not _has_key(audio) else ""
    if profile not in (b"RTP/SAVP", b"RTP/SAVPF"):
        return ""
    if srtp == "off":
        return OFF
    return "" if _has_key(audio) else NO_KEY


def _has_key(audio: bytes) -> bool:
    return b"\na=fingerprint:" in audio or any(
        _decoded(key) == _KEY_BYTES.get(suite.upper(), 0) for suite, key in _CRYPTO.findall(audio)
    )


def _decoded(key: bytes) -> int:
    """How many bytes it is; -1 where it is no base64."""
    try:
        return len(base64.b64decode(key, validate=True))
    except binascii.Error:
        return -1
