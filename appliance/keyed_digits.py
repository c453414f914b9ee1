"""Digits of calls: those that the far end keys in become part of an answer, those that are sent may sound."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from appliance.audio import dtmf
from appliance.call.call import ROOM
from appliance.call.keypad import END, Keypad, words
from appliance.errors import ApplianceError, NotPossible
from appliance.frames import FRAME_MS, samples_in
from appliance.session.turn import Phase
from appliance.tap import Tap

_PROTECTED: Final = frozenset({Phase.PROTECTED, Phase.CAUTIOUS, Phase.OVERTALK})
_END_SECONDS: Final = 3.0
"""How long after the digits that somebody else took a # may still belong to them."""
logger = logging.getLogger(__name__)


class KeyedDigits:
    """Belongs to the loop's thread. `taps` are the answered calls', by call; an answer is over after `pause` seconds,
    with 0 sessions are told of no digit."""

    def __init__(self, taps: Mapping[str, Tap], pause: float) -> None:
        self._taps = taps
        self._keypad = Keypad(pause, self._keyed_in) if pause else None
        self._takers: dict[str, Callable[[str], None]] = {}
        self._taken: dict[str, float] = {}
        """By call: when somebody else had taken digits."""

    def digit(self, call: str, digit: str) -> None:
        """Keyed in on a call: it silences what is being said and may be interrupted, and becomes part of an answer."""
        if (taker := self._takers.get(call)) is not None:
            taker(digit)
            return
        taken = self._taken.pop(call, None)
        if digit == END and taken is not None and asyncio.get_running_loop().time() - taken < _END_SECONDS:
            return
        tap = self._taps.get(call)
        session = tap.line.session if tap is not None else None
        if session is None or session.parked or self._keypad is None:
            return
        if session.phase not in _PROTECTED:
            session.interrupt("dtmf")
        self._keypad.press(call, digit)

    def divert(self, call: str, taker: Callable[[str], None] | None) -> None:
        """From now on `taker` is told of a call's digits, and its session nothing of them; None ends that."""
        if self._keypad is not None:
            self._keypad.forget(call)
        if taker is None:
            self._takers.pop(call, None)
            self._taken[call] = asyncio.get_running_loop().time()
        else:
            self._takers[call] = taker

    def sound(self, call: str, digits: str) -> None:
        """The far end hears these keys, in place of what is being said meanwhile. Raise NotPossible."""
        tap = self._taps.get(call)
        if tap is None:
            raise NotPossible(f"call {call} has no audio", hint="answer it first")
        sound = dtmf.tones(digits, tap.rate)
        tap.tones.extend(dtmf.frames(sound, samples_in(FRAME_MS, tap.rate)))

    def ended(self, call: str) -> None:
        """That call is over."""
        self._takers.pop(call, None)
        self._taken.pop(call, None)
        if self._keypad is not None:
            self._keypad.forget(call)

    def _keyed_in(self, call: str, digits: str) -> None:
        tap = self._taps.get(call)
        if tap is None or tap.line.session is None or tap.call.place == ROOM:
            return
        try:
            tap.line.session.send_text(words(digits))
        except ApplianceError as error:
            logger.info("call %s: what was keyed in was not told: %s", call, error.code)
