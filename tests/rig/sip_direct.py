"""sipp as a caller without registrar and password."""

from tests.rig.sip_scenarios import IN_DIALOGUE, INVITE

_CALLER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="direct caller">
  <send retrans="500"><![CDATA[
      {invite}  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[
      {ack}  ]]></send>
  {action}
  {end}
</scenario>
"""
_HANG_UP = """<pause milliseconds="{hold_ms}"/>
  <send retrans="500"><![CDATA[
      {bye}  ]]></send>
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
    names = {"to": to, "user": "sipp", "domain": "[local_ip]:[local_port]", "routes": ""}
    bye = IN_DIALOGUE.format(method="BYE", sequence=2, **names)
    return _CALLER.format(
        invite=INVITE.format(sequence=1, authorization="", **names),
        ack=IN_DIALOGUE.format(method="ACK", sequence=1, **names),
        action=action,
        end=_HANG_UP.format(hold_ms=hold_ms, bye=bye) if hold_ms else _BE_HUNG_UP,
    )
