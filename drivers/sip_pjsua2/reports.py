# SPDX-License-Identifier: Apache-2.0
"""The SIP process's messages, made into the telephone's events. Pure."""

from collections.abc import Mapping
from typing import Any

from appliance.interfaces import (
    CallReport,
    DtmfReport,
    IncomingCall,
    MailboxReport,
    MediaReport,
    NoticeReport,
    QualityReport,
    RegistrationReport,
    SentReport,
    SoundReport,
    StrangersReport,
    TelephoneEvent,
)


def read(body: Mapping[str, Any]) -> TelephoneEvent | None:
    """The event in `body`, or None when it is none of ours."""
    match body:
        case {
            "type": "registration",
            "state": str(state),
            "code": int(code),
            "reason": str(reason),
            "server": str(server),
            "account": str(account),
            "hint": str(hint),
            "addresses": list(addresses),
        }:
            found = tuple(str(address) for address in addresses)
            return RegistrationReport(state, code, reason, server, account, hint, found)
        case {
            "type": "incoming",
            "call": str(call),
            "peer": str(peer),
            "source": str(source),
            "display_name": str(name),
            "headers": dict(headers),
            "account": str(account),
        }:
            return IncomingCall(call, peer, source, name, headers, account)
        case {
            "type": "call",
            "call": str(call),
            "state": str(state),
            "code": int(code),
            "reason": str(reason),
        }:
            return CallReport(call, state, code, reason)
        case {
            "type": "media",
            "call": str(call),
            "active": bool(active),
            "codec": str(codec),
            "events": bool(events),
            "info": bool(info),
        }:
            return MediaReport(call, active, codec, events, info)
        case {"type": "quality", "call": str(call), "counts": dict(counts)}:
            return QualityReport(call, counts)
        case {"type": "sound", "call": str(call), "comes": bool(comes), "ever": bool(ever)}:
            return SoundReport(call, comes, ever)
        case {
            "type": "mailbox",
            "account": str(account),
            "waiting": bool(waiting),
            "new": int(new),
            "old": int(old),
        }:
            return MailboxReport(account, waiting, new, old)
        case {
            "type": "notice",
            "call": str(call),
            "code": str(code),
            "text": str(text),
            "hint": str(hint),
        }:
            return NoticeReport(call, code, text, hint)
        case {"type": "sent", "call": str(call), "to": str(to), "answered": bool(answered)}:
            return SentReport(call, to, answered)
        case {"type": "strangers", "ignored": int(ignored)}:
            return StrangersReport(ignored)
        case {
            "type": "dtmf",
            "call": str(call),
            "digit": str(digit),
            "duration_ms": int(duration),
            "method": str(method),
        }:
            return DtmfReport(call, digit, duration, method)
        case _:
            return None
