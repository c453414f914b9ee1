"""Messages in the manner of RFC 4475 (SIP torture tests), each with the answers that its section allows.

Written anew, for a telephone at 127.0.0.1: host names and tags are ours, what is odd in each is the RFC's, and so are
the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_SDP = (
    b"v=0\r\no=mhandley 29739 7272939 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 49217 RTP/AVP 0 12\r\nm=video 3227 RTP/AVP 31\r\na=rtpmap:31 LPC/90000\r\n"
)


@dataclass(frozen=True)
class Torture:
    """`answers` are the final codes that are right; 0 is silence; empty means any of them, or none."""

    message: bytes
    answers: frozenset[int] = frozenset()


def _message(head: str, body: bytes = b"", *, length: str | None = None) -> bytes:
    lines = head.strip("\n").replace("\n", "\r\n").encode("latin-1")
    size = str(len(body)) if length is None else length
    counted = b"" if length == "" else b"\r\nContent-Length: " + size.encode()
    return lines + counted + b"\r\n\r\n" + body


def _invite(name: str, *, uri: str = "sip:handset@127.0.0.1", lines: str = "", **replaced: str) -> str:
    fields = {
        "Via": f"SIP/2.0/UDP {{here}};branch=z9hG4bK{name}",
        "From": "<sip:caller@example.net>;tag=134161461246",
        "To": "<sip:handset@127.0.0.1>",
        "Call-ID": f"{name}.0ha0",
        "CSeq": "8 INVITE",
        "Contact": "<sip:caller@{here}>",
        "Max-Forwards": "70",
        "Content-Type": "application/sdp",
    }
    fields.update({key.replace("_", "-"): value for key, value in replaced.items()})
    head = "\n".join(f"{key}: {value}" for key, value in fields.items() if value)
    return f"INVITE {uri} SIP/2.0\n{head}" + (f"\n{lines}" if lines else "")


def _options(
    name: str, *, first: str = "OPTIONS sip:handset@127.0.0.1 SIP/2.0", lines: str = "", **replaced: str
) -> str:
    text = _invite(name, lines=lines, **{"CSeq": "8 OPTIONS", "Content_Type": "", **replaced})
    return first + "\n" + text.split("\n", 1)[1]


def _codes(*codes: int) -> frozenset[int]:
    return frozenset(codes)


def invite(name: str, body: bytes, here: str) -> bytes:
    """A sound INVITE with that description of its audio."""
    return _message(_invite(name), body).replace(b"{here}", here.encode())


def request(method: str, here: str) -> bytes:
    """One of no call."""
    first, number = f"{method} sip:handset@127.0.0.1 SIP/2.0", f"7 {method}"
    return _message(_options(f"lone{method.lower()}", first=first, CSeq=number)).replace(
        b"{here}", here.encode()
    )


def _answer(name: str, status: str, *lines: str, cseq: str = "35 INVITE") -> bytes:
    """A response to nothing that we asked."""
    fields = (
        f"SIP/2.0 {status}",
        f"Via: SIP/2.0/UDP {{here}};branch=z9hG4bK{name}",
        f"Call-ID: {name}",
        f"CSeq: {cseq}",
        "From: <sip:a@b>;tag=1",
        "To: <sip:c@d>;tag=2",
        *lines,
    )
    return _message("\n".join(fields))


_ACCEPTED = _codes(200, 488)
"""488: the far end's codecs are its own affair."""


def messages(here: str) -> Mapping[str, Torture]:
    """All of them, for a caller at `here` (host:port)."""
    return {
        name: Torture(case.message.replace(b"{here}", here.encode()), case.answers)
        for name, case in _ALL.items()
    }


_ALL: Mapping[str, Torture] = {
    # 3.1.1: valid
    "wsinv": Torture(
        _message(
            "INVITE sip:handset@127.0.0.1;unknownparam SIP/2.0\nTO :\n sip:handset@127.0.0.1 ;   unused    = 1a1b\n"
            'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\n  ;\n  tag = 98asjd8\n'
            "MaX-fOrWaRdS: 0068\nCall-ID: wsinv.ndaksdj@192.0.2.1\nCSeq: 0009\n  INVITE\n"
            "Via  : SIP  /   2.0\n /UDP\n    {here};branch=z9hG4bKwsinv\ns :\n"
            "NewFangledHeader:   newfangled value\n continued newfangled value\n"
            "UnknownHeaderWithUnusualValue: ;;,,;;,;\nContent-Type: application/sdp\n"
            'm:"Quoted string \\"\\"" <sip:jdrosen@{here}> ; newparam =\n      newvalue ;\n  secondparam ; q = 0.33',
            _SDP,
        ),
        _ACCEPTED,
    ),
    "intmeth": Torture(
        _message(
            _options(
                "intmeth",
                first="!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
                ":&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@127.0.0.1 SIP/2.0",
                CSeq="139122385 !interesting-Method0123456789_*+`.%indeed'~",
                To='"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)&isn\'t+it$/crazy@127.0.0.1>',
                Contact="<sip:caller@{here}>",
            )
        ),
        _codes(400, 405, 501),
    ),
    "esc01": Torture(
        _message(
            _invite(
                "esc01",
                To="sip:%75se%72@127.0.0.1",
                Contact="<sip:cal%6Cer@{here};%6C%72;n%61me=v%61lue%25%34%31>",
            ),
            _SDP,
        ),
        _ACCEPTED,
    ),
    "escnull": Torture(_message(_options("escnull", To="<sip:null-%00-null@127.0.0.1>")), _codes(200, 400)),
    "esc02": Torture(
        _message(_options("esc02", first="RE%47IST%45R sip:127.0.0.1 SIP/2.0", CSeq="29344 RE%47IST%45R")),
        _codes(405, 501),
    ),
    "lwsdisp": Torture(
        _message(_options("lwsdisp", From="caller<sip:caller@example.com>;tag=323")), _codes(200)
    ),
    "longreq": Torture(
        _message(
            _invite(
                "longreq",
                To='"I have a user name of '
                + "extreme" * 9
                + ' proportion"<sip:handset@127.0.0.1:6000;'
                + "unknownparam1=very"
                + "long" * 20
                + "value;longparam"
                + "name" * 25
                + "=shortvalue>",
                From="sip:"
                + "amazinglylongcallername" * 5
                + "@example.net;tag=12"
                + "982" * 50
                + "424;unknownheaderparam"
                + "name" * 15
                + "=unknowheaderparam"
                + "value" * 15,
                Call_ID="longreq.one" + "really" * 20 + "longcallid",
            ),
            _SDP,
        ),
        _ACCEPTED | _codes(513, 400, 0),
    ),
    "dblreq": Torture(
        _message(_options("dblreq"), b"") + _message(_invite("dblreqsecond"), _SDP),
        _codes(200),
    ),
    "semiuri": Torture(
        _message(_options("semiuri", first="OPTIONS sip:handset;par=u%40example.net@127.0.0.1 SIP/2.0")),
        _codes(200),
    ),
    "transports": Torture(
        _message(
            _options(
                "transports",
                lines="Via: SIP/2.0/SCTP 192.0.2.5;branch=z9hG4bK2\nVia: SIP/2.0/TLS 192.0.2.6;branch=z9hG4bK3\n"
                "Via: SIP/2.0/UNKNOWN 192.0.2.7;branch=z9hG4bK4\nVia: SIP/2.0/TCP 192.0.2.8;branch=z9hG4bK5",
            )
        ),
        _codes(200),
    ),
    "mpart01": Torture(
        _message(
            _options(
                "mpart01",
                first="MESSAGE sip:handset@127.0.0.1 SIP/2.0",
                CSeq="127 MESSAGE",
                Content_Type="multipart/mixed;boundary=7a9cbec02ceef655",
            ),
            b"--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHello\r\n--7a9cbec02ceef655\r\n"
            b"Content-Type: application/octet-stream\r\n\r\n\x00\xff\x00\x80\xc0\r\n--7a9cbec02ceef655--\r\n",
        ),
    ),
    "unreason": Torture(_answer("unreason", "200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe"), _codes(0)),
    "noreason": Torture(_answer("noreason", "100 "), _codes(0)),
    # 3.1.2: invalid
    "badinv01": Torture(
        _message(
            _invite("badinv01", Via="SIP/2.0/UDP {here};;,;,,", Contact='"Joe" <sip:joe@example.org>;;;;'),
            _SDP,
        ),
        _codes(0, 400),
    ),
    # What is missing at the end of a datagram the library does without.
    "clerr": Torture(_message(_invite("clerr"), _SDP, length="9999"), _codes(0, 400, 200)),
    "ncl": Torture(_message(_invite("ncl"), _SDP, length="-999"), _codes(0, 400)),
    "scalar02": Torture(
        _message(
            _options(
                "scalar02",
                first="REGISTER sip:127.0.0.1 SIP/2.0",
                CSeq="36893488147419103232 REGISTER",
                Max_Forwards="300",
                Contact="<sip:user@host129.example.com>;expires=280297596632815",
                lines="Expires: 10000000000000000000000000000000000000000\nRetry-After: 949302838503028349304023988",
            )
        ),
        _codes(0, 400, 405, 501),
    ),
    "scalarlg": Torture(
        _answer(
            "scalarlg",
            "503 Service Unavailable",
            "Retry-After: 949302838503028349304023988",
            'Warning: 1812 overture "In Progress"',
            cseq="9292394834772304023312 OPTIONS",
        ),
        _codes(0),
    ),
    "quotbal": Torture(
        _message(_invite("quotbal", To='"Mr. J. User <sip:handset@127.0.0.1>'), _SDP),
        _codes(0, 400, 200, 488),
    ),
    "ltgtruri": Torture(_message(_invite("ltgtruri", uri="<sip:handset@127.0.0.1>"), _SDP), _codes(0, 400)),
    "lwsruri": Torture(_message(_invite("lwsruri", uri="sip:handset@127.0.0.1; lr"), _SDP), _codes(0, 400)),
    "lwsstart": Torture(
        _message(_invite("lwsstart", uri=" sip:handset@127.0.0.1 "), _SDP), _codes(0, 400, 200, 488)
    ),
    "trws": Torture(
        _message(_options("trws", first="OPTIONS sip:handset@127.0.0.1 SIP/2.0  ")), _codes(0, 200, 400)
    ),
    "escruri": Torture(
        _message(_invite("escruri", uri="sip:handset@127.0.0.1?Route=%3Csip:example.com%3E"), _SDP),
        _codes(0, 400, 200, 488),
    ),
    "baddate": Torture(
        _message(_invite("baddate", lines="Date: Fri, 01 Jan 2010 16:00:00 EST"), _SDP),
        _ACCEPTED | _codes(400),
    ),
    "regbadct": Torture(
        _message(
            _options(
                "regbadct",
                first="REGISTER sip:127.0.0.1 SIP/2.0",
                CSeq="998332 REGISTER",
                Contact="sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            )
        ),
        _codes(0, 400, 405, 501),
    ),
    "badaspec": Torture(
        _message(_options("badaspec", To='"Watson, Thomas" < sip:t.watson@127.0.0.1 >')), _codes(0, 200, 400)
    ),
    "baddn": Torture(
        _message(_options("baddn", From="Bell, Alexander <sip:a.g.bell@example.com>;tag=43")),
        _codes(0, 200, 400),
    ),
    "badvers": Torture(
        _message(
            _options(
                "badvers",
                first="OPTIONS sip:handset@127.0.0.1 SIP/7.0",
                Via="SIP/7.0/UDP {here};branch=z9hG4bKbadvers",
            )
        ),
        _codes(0, 400, 505),
    ),
    "mismatch01": Torture(_message(_options("mismatch01", CSeq="8 INVITE")), _codes(0, 400, 200)),
    "mismatch02": Torture(
        _message(_options("mismatch02", first="NEWMETHOD sip:handset@127.0.0.1 SIP/2.0", CSeq="8 INVITE")),
        _codes(400, 405, 501),
    ),
    "bigcode": Torture(_answer("bigcode", "4294967301 better not break the receiver"), _codes(0)),
    # 3.2 and 3.3: transactions and what an element makes of it
    "badbranch": Torture(
        _message(_options("badbranch", Via="SIP/2.0/UDP {here};branch=z9hG4bK")), _codes(0, 200, 400)
    ),
    "insuf": Torture(
        _message(
            "INVITE sip:handset@127.0.0.1 SIP/2.0\nCSeq: 193942 INVITE\n"
            "Via: SIP/2.0/UDP {here};branch=z9hG4bKinsuf\nContent-Type: application/sdp",
            _SDP,
        ),
        _codes(0, 400),
    ),
    "unkscm": Torture(
        _message(_options("unkscm", first="OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0")),
        _codes(0, 416, 400, 200, 404),
    ),
    "novelsc": Torture(
        _message(_options("novelsc", first="OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0")),
        _codes(0, 416, 400, 200, 404),
    ),
    "unksm2": Torture(
        _message(_options("unksm2", To="isbn:2983792873", From="<http://www.example.com>;tag=3234233")),
        _codes(0, 200, 400, 416),
    ),
    "bext01": Torture(
        _message(
            _options(
                "bext01",
                lines="Require: nothingSupportsThis, neitherThis\nProxy-Require: noProxiesSupportThis",
            )
        ),
        _codes(420, 200),
    ),
    "invut": Torture(
        _message(
            _invite("invut", Content_Type="application/unknownformat"),
            b'<audio>\r\n <pcmu port="443"/>\r\n</audio>\r\n',
        ),
        _codes(415, 400, 488),
    ),
    "regaut01": Torture(
        _message(
            _options(
                "regaut01",
                first="REGISTER sip:127.0.0.1 SIP/2.0",
                CSeq="9338 REGISTER",
                lines="Authorization: NoOneKnowsThisScheme opaque-data=here",
            )
        ),
        _codes(0, 405, 501, 401, 404),
    ),
    "multi01": Torture(
        _message(
            _invite(
                "multi01",
                lines="CSeq: 59 INVITE\nCall-ID: multi01.again\nFrom: <sip:other@example.net>;tag=9\n"
                "Max-Forwards: 5\nTo: <sip:someone@else>\nContent-Length: 5",
            ),
            _SDP,
        ),
        _codes(0, 400, 200, 488),
    ),
    "mcl01": Torture(
        _message(_options("mcl01", lines="Content-Length: 13")) + b"There's no way to know how many octets",
        _codes(0, 200, 400),
    ),
    "bcast": Torture(_answer("bcast", "200 OK", "Via: SIP/2.0/UDP {here};branch=z9hG4bKbcast2"), _codes(0)),
    "zeromf": Torture(_message(_options("zeromf", Max_Forwards="0")), _codes(200, 483)),
    "cparam01": Torture(
        _message(
            _options(
                "cparam01",
                first="REGISTER sip:127.0.0.1 SIP/2.0",
                CSeq="8 REGISTER",
                Contact="sip:+19725552222@gw1.example.net;unknownparam",
            )
        ),
        _codes(405, 501, 404),
    ),
    "regescrt": Torture(
        _message(
            _options(
                "regescrt",
                first="REGISTER sip:127.0.0.1 SIP/2.0",
                CSeq="14398234 REGISTER",
                Contact="<sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
            )
        ),
        _codes(405, 501, 404),
    ),
    "sdp01": Torture(
        _message(_invite("sdp01", lines="Accept: text/nobodyKnowsThis"), _SDP), _ACCEPTED | _codes(406)
    ),
    "inv2543": Torture(
        _message(
            "INVITE sip:handset@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP {here}\nFrom: <sip:user@example.com>\n"
            "To: sip:handset@127.0.0.1\nCall-ID: inv2543.1717@ift.client.example.com\nCSeq: 56 INVITE\n"
            "Contact: <sip:user@{here}>\nContent-Type: application/sdp",
            _SDP,
        ),
        _ACCEPTED | _codes(0, 400),
    ),
}
