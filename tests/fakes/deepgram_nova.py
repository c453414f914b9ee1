"""`/v1/listen` of the fake Deepgram: results over windows, final at pauses and when asked for."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.fakes.deepgram import Session

_INTERIM_SECONDS = 0.1


class NovaSession(Session):
    """The utterance goes from pause to pause, or from one Finalize to the next."""

    final_until = 0.0
    """Seconds of sound whose transcript is final."""
    _said = 0
    """Words of the utterance that are final."""
    _told_words = 0
    _told_at = 0.0
    _last_word_end: float | None = None
    """Of words that no UtteranceEnd has followed."""

    async def sound(self) -> None:
        heard, words = self.heard, self.heard.words
        if words:
            self._last_word_end = words[-1].end
        most = self.cloud.final_words
        if most and len(words) - self._said >= most and heard.quiet_for > 0:
            await self._result(final=True)
        elif len(words) > self._told_words and heard.position - self._told_at >= _INTERIM_SECONDS:
            await self._result(final=False)
        endpointing = self.asked.get("endpointing", "10")
        if endpointing != "false" and words and heard.quiet_for >= int(endpointing) / 1000:
            heard.flush()
            await self._result(final=True, speech_final=self.cloud.tells_speech_final)
            self._begin()
        await self._utterance_end()

    async def word(self, message: Mapping[str, Any]) -> bool:
        match message:
            case {"type": "KeepAlive", **rest} if not rest:
                return True
            case {"type": "Finalize", **rest} if not rest:
                await self._finalize()
                return True
            case {"type": "CloseStream", **rest} if not rest:
                self.heard.flush()
                await self._result(final=True)
                await self.say(
                    type="Metadata",
                    transaction_key="deprecated",
                    request_id="request-1",
                    sha256="0",
                    created="2026-11-21T00:00:00Z",
                    duration=self.heard.position,
                    channels=1,
                )
                await self.socket.close(1000)
                return False
        self.violate(f"a message {message.get('type')}")
        await self.say(type="Error", variant="SchemaError", description="unknown", message="")
        return True

    def nonsense(self) -> list[str]:
        sane = '"start": 0.0, "duration": 0.1'
        text = '"channel": {"alternatives": [{"transcript": "rubbish", "confidence": 1.0, "words": []}]}'
        final = '"is_final": true, "speech_final": true, "from_finalize": true'
        return [
            '{"type": "Results"}',
            f'{{"type": "Results", {sane}, {final}, "channel": 7}}',
            f'{{"type": "Results", {sane}, {final}, "channel": {{"alternatives": [{{"transcript": null}}]}}}}',
            f'{{"type": "Results", {sane}, {final}, "channel": {{"alternatives": ["rubbish"]}}}}',
            f'{{"type": "Results", "start": 1e99, "duration": 1.0, {final}, {text}}}',
            f'{{"type": "Results", "start": 9999, "duration": 1.0, {final}, {text}}}',
            f'{{"type": "Results", "start": -5, "duration": 1.0, {final}, {text}}}',
            f'{{"type": "Results", "start": NaN, "duration": 1.0, {final}, {text}}}',
            f'{{"type": "Results", "start": "0", "duration": true, {final}, {text}}}',
            f'{{"type": "Results", "start": 1{"0" * 400}, "duration": 1.0, {final}, {text}}}',
            '{"type": "UtteranceEnd"}',
            '{"type": "UtteranceEnd", "last_word_end": -1}',
            '{"type": "Error", "variant": "Unheard", "description": "of"}',
            '{"type": "SpeechStarted", "timestamp": "now"}',
        ]

    async def _finalize(self) -> None:
        if self.heard.position - self.final_until < self.cloud.noticeable or not self.cloud.answers_finalize:
            return
        if self.cloud.think:
            await asyncio.sleep(self.cloud.think)
        self.heard.flush()
        await self._result(final=True, from_finalize=True)
        self._begin()
        self.at("final")

    def _begin(self) -> None:
        self.heard.begin()
        self._said = self._told_words = 0

    async def _utterance_end(self) -> None:
        gap = int(self.asked.get("utterance_end_ms", 0)) / 1000
        if gap and self._last_word_end is not None and self.heard.position - self._last_word_end >= gap:
            end, self._last_word_end = self._last_word_end, None
            await self.say(type="UtteranceEnd", channel=[0, 1], last_word_end=round(end, 3))

    async def _result(self, *, final: bool, speech_final: bool = False, from_finalize: bool = False) -> None:
        if not final and self.asked.get("interim_results") != "true":
            return
        words = self.heard.words[self._said :]
        start, end = self.final_until, self.heard.position
        self._told_words, self._told_at = len(self.heard.words), end
        if final:
            self.final_until = end
            self._said = len(self.heard.words)
        text = " ".join(word.text for word in words)
        if text and self.asked.get("smart_format") == "true":
            text = text[0].upper() + text[1:] + ("." if final else "")
        await self.say(
            type="Results",
            channel_index=[0, 1],
            start=round(start, 3),
            duration=round(end - start, 3),
            is_final=final,
            speech_final=speech_final,
            from_finalize=from_finalize,
            channel={
                "alternatives": [
                    {
                        "transcript": text,
                        "confidence": 0.98,
                        "words": [
                            {
                                "word": word.text,
                                "start": round(word.start, 3),
                                "end": round(word.end, 3),
                                "confidence": 0.98,
                                "punctuated_word": word.text,
                            }
                            for word in words
                        ],
                    }
                ]
            },
            metadata={"request_id": "request-1", "model_info": {}, "model_uuid": "0"},
        )
        if text:
            self.at("final piece" if final else "interim")
