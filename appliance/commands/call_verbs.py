"""The verbs about calls."""

from typing import Any

from appliance.commands.parser import filled, remote, verb


def call_verbs(verbs: Any) -> None:
    call = verb(
        verbs,
        "call",
        "appliance.commands.calls:call",
        "call somebody",
        "handset call sip:100@pbx.example --wait",
    )
    call.add_argument("to", metavar="URI", type=filled, help="a SIP URI, an extension, a number or a contact")
    call.add_argument("--agent", metavar="NAME", default="", help="who speaks")
    call.add_argument("--account", metavar="NAME", default="", help="the SIP account to call through")
    call.add_argument("--room", action="store_true", help="the person in the room speaks")
    call.add_argument("--wait", action="store_true", help="print each state until the call has ended")
    remote(call)
    answer = verb(
        verbs, "answer", "appliance.commands.calls:answer", "answer the ringing call", "handset answer"
    )
    who = answer.add_mutually_exclusive_group()
    who.add_argument(
        "--room", action="store_true", help="the person in the room talks on it; also once it is answered"
    )
    who.add_argument("--agent", action="store_true", help="the agent does")
    hang_up = verb(verbs, "hangup", "appliance.commands.calls:hang_up", "end the call", "handset hangup")
    record = verb(
        verbs,
        "record",
        "appliance.commands.calls:record",
        "record the call, or no longer",
        "handset record on",
    )
    record.add_argument("state", choices=("on", "off"))
    transfer = verb(
        verbs,
        "transfer",
        "appliance.commands.calls:transfer",
        "hand the call over to somebody else",
        "handset transfer 201 --attended",
    )
    transfer.add_argument("to", metavar="URI", type=filled, help="as of `handset call`")
    transfer.add_argument("--attended", action="store_true", help="only when somebody has taken it there")
    transfer.add_argument(
        "--summary", metavar="TEXT", default="", help="is spoken to who takes an attended one"
    )
    transfer.add_argument("--wait", action="store_true", help="print each state until it is over")
    dtmf = verb(
        verbs, "dtmf", "appliance.commands.calls:dtmf", "send digits on the call", "handset dtmf 4711#"
    )
    dtmf.add_argument("digits", metavar="DIGITS", type=filled, help="0-9, *, #, A-D")
    plain = [
        verb(verbs, name, f"appliance.commands.calls:{name}", what, f"handset {name}")
        for name, what in (
            ("reject", "refuse the ringing call"),
            ("hold", "put the call on hold"),
            ("resume", "take the call off hold"),
        )
    ]
    dnd = verb(
        verbs,
        "dnd",
        "appliance.commands.calls:do_not_disturb",
        "let callers hear the busy tone, or let them in again",
        "handset dnd on",
    )
    dnd.add_argument("state", choices=("on", "off"))
    remote(dnd)
    for parser in (answer, hang_up, record, transfer, dtmf, *plain):
        parser.add_argument("call", metavar="CALL", nargs="?", help="its id, where there are several")
        remote(parser)
