"""sipp scenarios as text, and what they play."""

import numpy as np
import numpy.typing as npt

INVITE = """INVITE sip:{to} SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: "Sipp" <sip:{user}@{domain}>;tag=[call_number]
      To: <sip:{to}>
      Call-ID: [call_id]
      CSeq: {sequence} INVITE
      Contact: <sip:{user}@[local_ip]:[local_port]>
      Max-Forwards: 70
      {authorization}Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=- 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 [media_ip]
      t=0 0
      m=audio [rtpstream_audio_port] RTP/AVP 8 101
      a=rtpmap:8 PCMA/8000
      a=rtpmap:101 telephone-event/8000
      a=sendrecv
"""

IN_DIALOGUE = """{method} [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      {routes}From: "Sipp" <sip:{user}@{domain}>;tag=[call_number]
      To: <sip:{to}>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: {sequence} {method}
      Max-Forwards: 70
      Content-Length: 0
"""

_CALLER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
      {first}  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="407" auth="true"/>
  <send><![CDATA[
      ACK sip:{to} SIP/2.0
      [last_Via:]
      [last_From:]
      [last_To:]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Content-Length: 0
  ]]></send>
  <send retrans="500"><![CDATA[
      {second}  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[
      {ack}  ]]></send>
  {action}
  <pause milliseconds="{hold_ms}"/>
  <send retrans="500"><![CDATA[
      {bye}  ]]></send>
  <recv response="200"/>
</scenario>
"""


def caller(to: str, user: str, domain: str, *, hold_ms: int, audio: str = "") -> str:
    """Call `to` with digest, play the A-law file `audio`, hang up after `hold_ms`."""
    action = f'<nop><action><exec rtp_stream="{audio},1,8"/></action></nop>' if audio else ""
    names = {"to": to, "user": user, "domain": domain, "routes": "[routes]\n      "}
    return _CALLER.format(
        first=INVITE.format(sequence=1, authorization="", **names),
        second=INVITE.format(sequence=2, authorization="[authentication]\n      ", **names),
        ack=IN_DIALOGUE.format(method="ACK", sequence=2, **names),
        bye=IN_DIALOGUE.format(method="BYE", sequence=3, **names),
        action=action,
        hold_ms=hold_ms,
        to=to,
    )


def a_law(pcm: npt.NDArray[np.int16]) -> bytes:
    """G.711 A-law of 8 kHz samples."""
    magnitude = np.clip(np.abs(pcm.astype(np.int32)) >> 3, 0, 4095)
    exponent = np.clip(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0, 7)
    mantissa = np.where(exponent > 0, (magnitude >> exponent) & 15, (magnitude >> 1) & 15)
    segment = np.where(magnitude >= 32, exponent, 0)
    code = (segment << 4) | mantissa
    sign = np.where(pcm >= 0, 0x80, 0)
    return bytes(((code | sign) ^ 0x55).astype(np.uint8).tobytes())


_REFUSER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="refuser">
  <recv request="INVITE"/>
  <send><![CDATA[
      SIP/2.0 180 Ringing
      [last_Via:]
      [last_From:]
      [last_To:];tag=[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0
  ]]></send>
  <send retrans="500"><![CDATA[
      SIP/2.0 {code} {words}
      [last_Via:]
      [last_From:]
      [last_To:];tag=[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      {header}Content-Length: 0
  ]]></send>
  <recv request="ACK"/>
</scenario>
"""


def answers_with(code: int, words: str, header: str = "") -> str:
    """Ring, and refuse one call with `code` and perhaps one more header."""
    return _REFUSER.format(code=code, words=words, header=f"{header}\n      " if header else "")


_EARLY = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="early media">
  <recv request="INVITE" rrs="true"/>
  <send><![CDATA[
      SIP/2.0 183 Session Progress
      {head}
      {sdp}
  ]]></send>
  <pause milliseconds="{early_ms}"/>
  <send retrans="500"><![CDATA[
      SIP/2.0 200 OK
      {head}
      {sdp}
  ]]></send>
  <recv request="ACK"/>
  <recv request="BYE" timeout="60000"/>
  <send><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0
  ]]></send>
</scenario>
"""
_HEAD = """[last_Via:]
      [last_From:]
      [last_To:];tag=[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:[local_ip]:[local_port]>
      Content-Type: application/sdp
      Content-Length: [len]
"""
_SDP = """v=0
      o=- 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 8
      a=rtpmap:8 PCMA/8000"""


def answers_after_early_media(early_ms: int) -> str:
    """183 with a description of its sound, and after a while 200; then wait for BYE."""
    return _EARLY.format(early_ms=early_ms, head=_HEAD, sdp=_SDP)
