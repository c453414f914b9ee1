"""sipp as a caller without registrar and password."""

_CALLER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="direct caller">
  <send retrans="500"><![CDATA[
      INVITE sip:{to} SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: "Sipp" <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:{to}>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:sipp@[local_ip]:[local_port]>
      Max-Forwards: 70
      Content-Type: application/sdp
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
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[
      ACK [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: "Sipp" <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:{to}>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  {action}
  {end}
</scenario>
"""
_HANG_UP = """<pause milliseconds="{hold_ms}"/>
  <send retrans="500"><![CDATA[
      BYE [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: "Sipp" <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:{to}>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  <recv response="200"/>"""
_BE_HUNG_UP = """<recv request="BYE" timeout="60000"/>
  <send><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0
  ]]></send>"""


def direct_caller(to: str, *, hold_ms: int = 0, audio: str = "") -> str:
    """Call `to`, play the A-law file `audio`; hang up after `hold_ms`, or without it wait for the other's BYE."""
    action = f'<nop><action><exec rtp_stream="{audio},1,8"/></action></nop>' if audio else ""
    end = _HANG_UP.format(to=to, hold_ms=hold_ms) if hold_ms else _BE_HUNG_UP
    return _CALLER.format(to=to, action=action, end=end)
