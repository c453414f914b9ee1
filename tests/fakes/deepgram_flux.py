"""`/v2/listen` of the fake Deepgram: turns that it finds itself, surely or eagerly, or is told of."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.fakes.deepgram import Session

_UPDATE_SECONDS = 0.25


class FluxSession(Session):
    """Silence stands for what the service finds in the words: the fake knows no other sign of an end."""

    longest_idle = 60.0
    turn_index = 0
    _sequence = 0
    _began_at = 0.0
    _updated_at = 0.0
    _speaking = False
    _awaiting_end = False

    @property
    def _eager(self) -> bool:
        return "eager_eot_threshold" in self.asked

    async def open(self) -> None:
        if self.cloud.flux_opens_with:
            await self._number(dict(self.cloud.flux_opens_with))

    async def sound(self) -> None:
        heard = self.heard
        if heard.words and not self._speaking:
            self._speaking = True
            await self._tell("StartOfTurn")
            self.at("start")
        elif self._awaiting_end and heard.quiet_for == 0:
            self._awaiting_end = False
            await self._tell("TurnResumed")
        elif heard.position - self._updated_at >= _UPDATE_SECONDS - 1e-6:
            await self._tell("Update")
            self.at("update")
        if self._speaking:
            await self._look_for_the_end()

    async def word(self, message: Mapping[str, Any]) -> bool:
        match message:
            case {"type": "ForceEndTurn", **rest} if not rest:
                if self._speaking:
                    if self.cloud.think:
                        await asyncio.sleep(self.cloud.think)
                    self.heard.flush()
                    await self._end("manual")
                    self.at("final")
                return True
            case {"type": "CloseStream", **rest} if not rest:
                await self.socket.close(1000)
                return False
        self.violate(f"a message {message.get('type')}")
        await self._number({"type": "Error", "code": "UNPARSABLE_CLIENT_MESSAGE", "description": "unknown"})
        await self.socket.close(1008)
        return False

    def nonsense(self) -> list[str]:
        rest = '"audio_window_start": 0, "end_of_turn_confidence": 1.0, "words": []'
        end = f'"type": "TurnInfo", "event": "EndOfTurn", {rest}'
        return [
            '{"type": "TurnInfo"}',
            f'{{{end}, "turn_index": 0, "transcript": null, "audio_window_end": 0.1}}',
            f'{{{end}, "turn_index": -1, "transcript": "rubbish", "audio_window_end": 0.1}}',
            f'{{{end}, "turn_index": "0", "transcript": "rubbish", "audio_window_end": 0.1}}',
            f'{{{end}, "turn_index": 1e300, "transcript": "rubbish", "audio_window_end": 0.1}}',
            f'{{{end}, "turn_index": 0, "transcript": "rubbish", "audio_window_end": 1e99}}',
            f'{{{end}, "turn_index": 0, "transcript": "rubbish", "audio_window_end": 9999}}',
            f'{{{end}, "turn_index": 0, "transcript": "rubbish", "audio_window_end": NaN}}',
            f'{{"type": "TurnInfo", "event": 5, {rest}, "turn_index": 0, "transcript": "", "audio_window_end": 0}}',
            '{"type": "ConfigureFailure", "request_id": "r", "sequence_id": "x"}',
        ]

    async def _look_for_the_end(self) -> None:
        quiet = self.heard.quiet_for
        sure = float(self.asked.get("eot_threshold", "0.7")) < 1.0
        if sure and quiet >= self.cloud.end_after:
            self.heard.flush()
            await self._end("model")
        elif quiet * 1000 >= int(self.asked.get("eot_timeout_ms", "5000")):
            self.heard.flush()
            await self._end("timeout")
        elif self._eager and quiet >= self.cloud.eager_after and not self._awaiting_end:
            self.heard.flush()
            self._awaiting_end = True
            await self._tell("EagerEndOfTurn")

    async def _end(self, trigger: str) -> None:
        await self._tell("EndOfTurn", trigger=trigger)
        self.turn_index += 1
        self._began_at = self.heard.position
        self._speaking = self._awaiting_end = False
        self.heard.begin()

    async def _tell(self, event: str, **more: Any) -> None:
        self._updated_at = self.heard.position
        text = self.heard.text
        await self._number(
            {
                "type": "TurnInfo",
                "request_id": "request-1",
                "event": event,
                "turn_index": self.turn_index,
                "audio_window_start": round(self._began_at, 3),
                "audio_window_end": round(self.heard.position, 3),
                "transcript": text[:1].upper() + text[1:],
                "words": [{"word": word.text, "confidence": 0.9} for word in self.heard.words],
                "end_of_turn_confidence": 0.9 if event == "EndOfTurn" else 0.2,
                **more,
            }
        )

    async def _number(self, message: dict[str, Any]) -> None:
        await self.say(**{**message, "sequence_id": self._sequence})
        self._sequence += 1
