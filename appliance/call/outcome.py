"""What became of a call that was dialled and not answered, in a word and in a sentence. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """As the control API and the agent are told."""

    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    UNKNOWN_NUMBER = "unknown_number"
    MOVED = "moved"
    FORBIDDEN = "forbidden"
    INCOMPATIBLE = "incompatible"
    CANCELLED = "cancelled"
    VOICEMAIL = "voicemail"
    UNREACHABLE = "unreachable"


NO_ANSWER_CODE: Final = 408
_O: Final = Outcome
_CODES: Final[Mapping[int, Outcome]] = {
    **dict.fromkeys((401, 402, 403, 405, 407, 433), _O.FORBIDDEN),
    **dict.fromkeys((404, 410, 414, 416, 484, 485, 604), _O.UNKNOWN_NUMBER),
    **dict.fromkeys((408, 480), _O.NO_ANSWER),
    **dict.fromkeys((486, 600), _O.BUSY),
    **dict.fromkeys((415, 488, 606), _O.INCOMPATIBLE),
    **dict.fromkeys((603, 607, 608), _O.DECLINED),
    487: _O.CANCELLED,
}
_SENTENCES: Final[Mapping[Outcome, str]] = {
    _O.BUSY: "{to} is busy.",
    _O.NO_ANSWER: "{to} does not answer.",
    _O.DECLINED: "{to} declined the call.",
    _O.UNKNOWN_NUMBER: "The number {to} does not exist.",
    _O.MOVED: "{to} has another number now.",
    _O.FORBIDDEN: "Calls to {to} are not allowed.",
    _O.INCOMPATIBLE: "The telephone of {to} cannot take this call.",
    _O.CANCELLED: "The call to {to} was cancelled.",
    _O.VOICEMAIL: "Nobody took the call at {to}; perhaps it was a voicemail.",
    _O.UNREACHABLE: "{to} cannot be reached at present.",
}


def outcome_of(code: int) -> Outcome:
    """`code` is the SIP status that ended the attempt, 0 without one."""
    return _O.MOVED if 300 <= code < 400 else _CODES.get(code, _O.UNREACHABLE)


def sentence(outcome: Outcome, to: str) -> str:
    """For a person; `to` as it was asked for."""
    return _SENTENCES[outcome].format(to=to.removeprefix("sip:").partition("@")[0] or to)
