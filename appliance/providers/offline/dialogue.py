"""What to do with what was understood: answer, ask back, or call a tool. Pure: no clock, no I/O.

What cannot be undone is asked first. A question waits for its reply until the next turn that is no reply
to it; something
that was not understood is asked for once more, then dropped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.providers.offline.answers import fill
from appliance.providers.offline.arguments import arguments_of
from appliance.providers.offline.local import answer
from appliance.providers.offline.skills import Intent, Understood

CONFIRMATION: Final = "confirmation"
OFFLINE: Final = "I can't do that while I'm offline."
UNCLEAR: Final = "Sorry, I did not understand."


@dataclass(frozen=True, slots=True)
class Say:
    """Answer with `text`; nothing is said where it is empty. `aloud`: as the voice spells it, if otherwise."""

    text: str = ""
    aloud: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Run a tool's function, then answer as `intent` has it."""

    intent: Intent
    function: str
    arguments: Mapping[str, Any]


Step = Say | Call


@dataclass(frozen=True, slots=True)
class _Question:
    """What was asked; `reply_to` is the kind of reply that is awaited."""

    intent: Intent
    arguments: Mapping[str, Any]
    reply_to: str
    say: Say
    asked: int = 1


@dataclass(slots=True)
class Dialogue:
    """The course of one conversation. `offered` are the intents that this agent's tools allow."""

    offered: Sequence[Intent]
    last: Say = Say()
    _question: _Question | None = field(default=None, init=False)

    @property
    def reply_to(self) -> str:
        """The kind of reply that is awaited, or empty."""
        return self._question.reply_to if self._question else ""

    def take(self, understood: Understood | None, *, clear: bool) -> Step:
        """The person said something; None: it was not understood, and `clear` says whether it was plain speech."""
        question, self._question = self._question, None
        if understood is None:
            return self._not_understood(question, clear=clear)
        intent = understood.intent
        if question is not None and intent.reply_to == question.reply_to:
            return self._replied(question, understood)
        if intent.local:
            return self._local(understood)
        return self._begin(intent, arguments_of(intent.arguments, understood.slots))

    def answer(self, call: Call, result: Mapping[str, Any], error: str) -> Say:
        """What is said when a tool has answered."""
        if error:
            return self._say(Say(error))
        return self._say(_filled(call.intent.answer, {**call.arguments, **result}))

    def _begin(self, intent: Intent, arguments: Mapping[str, Any]) -> Step:
        if intent.missing and intent.missing not in arguments:
            return self._ask(_Question(intent, arguments, intent.missing, Say(intent.question)))
        if intent.confirm:
            return self._ask(_Question(intent, arguments, CONFIRMATION, _filled(intent.confirm, arguments)))
        return Call(intent, intent.call, arguments)

    def _replied(self, question: _Question, understood: Understood) -> Step:
        intent = question.intent
        if question.reply_to != CONFIRMATION:
            given = arguments_of(understood.intent.arguments, understood.slots)
            return Call(self._finishing(intent), intent.call, {**question.arguments, **given})
        if understood.intent.local == "yes":
            return Call(intent, intent.call, question.arguments)
        return self._say(Say("Okay, I won't."))

    def _finishing(self, intent: Intent) -> Intent:
        """The intent with the answer for the tool that a question was asked for."""
        if intent.answer:
            return intent
        return next(one for one in self.offered if one.call == intent.call and one.answer)

    def _not_understood(self, question: _Question | None, *, clear: bool) -> Step:
        if question is not None and question.asked == 1:
            again = _Question(question.intent, question.arguments, question.reply_to, question.say, asked=2)
            return self._ask(again, f"{UNCLEAR} ")
        return self._say(Say(OFFLINE if clear else UNCLEAR))

    def _ask(self, question: _Question, first: str = "") -> Step:
        self._question = question
        asked = question.say
        return self._say(Say(f"{first}{asked.text}", f"{first}{asked.aloud}" if asked.aloud else ""))

    def _local(self, understood: Understood) -> Step:
        name = understood.intent.local
        if name == "repeat":
            return self.last if self.last.text else Say("I have said nothing yet.")
        if name == "stop":
            ringing = Intent("stop", call="stop_ringing")
            return Call(ringing, ringing.call, {}) if self._can("set_timer") else Say()
        return self._say(Say(answer(name, understood.slots, self.offered)))

    def _can(self, function: str) -> bool:
        return any(intent.call == function for intent in self.offered)

    def _say(self, say: Say) -> Say:
        self.last = say if say.text else self.last
        return say


def _filled(template: str, values: Mapping[str, Any]) -> Say:
    text, aloud = fill(template, values), fill(template, values, aloud=True)
    return Say(text, aloud if aloud != text else "")
