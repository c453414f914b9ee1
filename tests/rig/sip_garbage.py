"""Malformed SIP: datagrams that a parser must survive."""

import random
from collections.abc import Iterator

_INVITE = (
    b"INVITE sip:handset@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK%d\r\n"
    b'From: "Mallory" <sip:mallory@127.0.0.1>;tag=%d\r\nTo: <sip:handset@127.0.0.1>\r\nCall-ID: garbage-%d\r\n'
    b"CSeq: 1 INVITE\r\nContact: <sip:mallory@127.0.0.1:9>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)
_SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 8 101\r\n"
)
_METHODS = (
    b"INVITE",
    b"BYE",
    b"CANCEL",
    b"ACK",
    b"REFER",
    b"NOTIFY",
    b"UPDATE",
    b"PRACK",
    b"OPTIONS",
    b"MESSAGE",
    b"SUBSCRIBE",
    b"XYZZY",
)
_INSERTS = (
    b"\x00",
    b"\xff" * 40,
    b"%s%n%x",
    b"\r\n",
    b";" * 300,
    b"<" * 200,
    b'"',
    b"A" * 4000,
    b"-1",
    b"99999999999999999999",
    b"[::",
    b"\xc3\x28",
)


def datagrams(chance: random.Random, count: int) -> Iterator[bytes]:
    """`count` of them, the same for the same `chance`."""
    for number in range(count):
        message = _INVITE % (number, number, number, len(_SDP), _SDP)
        match number % 6:
            case 0:
                yield chance.randbytes(chance.randrange(1, 1400))
            case 1:
                yield message[: chance.randrange(1, len(message))]
            case 2:
                yield message.replace(b"INVITE", chance.choice(_METHODS))
            case 3:
                yield b"SIP/2.0 %d Odd\r\n" % chance.randrange(0, 1200) + message.split(b"\r\n", 1)[1]
            case 4:
                lines = message.split(b"\r\n")
                chance.shuffle(lines)
                yield b"\r\n".join(lines)
            case _:
                yield _damaged(chance, message)


def _damaged(chance: random.Random, message: bytes) -> bytes:
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(message))
        message = message[:at] + chance.choice(_INSERTS) + message[at + chance.randrange(0, 12) :]
    return message[:60_000]


def mutated(chance: random.Random, message: bytes) -> bytes:
    """`message` with lines lost, doubled, swapped and damaged."""
    lines = message.split(b"\r\n")
    for _ in range(chance.randrange(0, 4)):
        at = chance.randrange(len(lines))
        match chance.randrange(4):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[chance.randrange(len(lines))])
            case 2:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
            case _:
                lines[at] = lines[at] + chance.choice(_INSERTS)
        lines = lines or [b""]
    return _damaged(chance, b"\r\n".join(lines) or b"\r\n")
