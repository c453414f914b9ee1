"""What every speech-to-text stage owes the chain. One class a stage; what is asked of all stands in SttContract.

A new stage inherits SttContract, or SttServiceContract where it talks to a service over a network, and gives `cloud`
(its fake, which decodes what it is told with `Recogniser`) and `section` (the keys it is built with). A stage whose
engine wants real speech overrides `spoken` and `texts`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from appliance import plugins
from appliance.errors import ConfigurationInvalid, ProviderUnavailable
from appliance.stages import Ended, Hearing, SpeechToText, Spent, Transcript
from tests.contract.stt.listener import Listener, plain
from tests.rig.coded_speech import coded


class SttContract:
    """Inherit, and give `name`, `cloud` and `section`."""

    name: ClassVar[str]
    """Of the entry point in group `appliance.stt`."""
    texts: ClassVar[Sequence[str]] = ("one two three", "red green", "call nine")
    """What is said in the first, second and third turn."""

    @pytest.fixture
    async def cloud(self) -> Any:
        """The service's fake; none for a local engine."""
        return None

    def section(self, cloud: Any) -> Mapping[str, Any]:
        return {}

    def spoken(self, text: str, rate: int) -> bytes:
        """How `text` sounds; silence of the usual length where it is empty."""
        return coded(text, rate) if text else bytes(rate * 2)

    @pytest.fixture
    async def stage(self, cloud: Any) -> AsyncIterator[SpeechToText]:
        stage: SpeechToText = plugins.load("appliance.stt", self.name)(self.section(cloud))
        yield stage
        await stage.close()
        if cloud is not None:
            assert cloud.violations == []

    @asynccontextmanager
    async def listening(self, stage: SpeechToText, **hearing: Any) -> AsyncIterator[Listener]:
        listener = Listener(await stage.connect(Hearing(**hearing)), stage.rate)
        try:
            yield listener
        finally:
            await listener.close()

    async def asks(self, listener: Listener, turn: int, text: str) -> str:
        """Say `text` as `turn`; what was understood of it."""
        await listener.says(turn, self.spoken(text, listener.rate))
        await listener.transcription.commit(turn)
        return await listener.final(turn)

    async def test_a_spoken_turn_is_written_down(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, self.texts[0]) == self.texts[0]

    async def test_a_turn_has_one_final_transcript_and_it_is_the_last(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
            await self.asks(listener, 2, self.texts[1])
            for turn in (1, 2):
                assert [one.final for one in listener.transcripts(turn)].index(True) == (
                    len(listener.transcripts(turn)) - 1
                )

    async def test_interim_transcripts_begin_the_final_one(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await listener.says(1, self.spoken(self.texts[0], stage.rate), pace=0.01)
            await listener.transcription.commit(1)
            final = await listener.final(1)
            told = [plain(one.text) for one in listener.transcripts(1)]
            assert all(final.startswith(text) for text in told)
            assert told == sorted(told, key=len)

    async def test_turns_come_one_after_another_and_never_mixed(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            for turn, text in enumerate(self.texts, start=1):
                assert await self.asks(listener, turn, text) == text
            order = [one.turn for one in listener.events if isinstance(one, Transcript)]
            assert order == sorted(order)

    async def test_the_next_turn_may_begin_before_the_last_is_understood(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            for turn, text in enumerate(self.texts, start=1):
                await listener.says(turn, self.spoken(text, stage.rate), milliseconds=100)
                await listener.transcription.commit(turn)
            understood = [await listener.final(turn) for turn in range(1, len(self.texts) + 1)]
            assert understood == list(self.texts)

    async def test_silence_is_understood_as_nothing(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, "") == ""
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]
            assert listener.finals(1) == [""]

    async def test_a_commit_without_sound_is_answered(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await listener.transcription.commit(1)
            assert await listener.final(1) == ""
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]
            await listener.transcription.commit(3)
            assert await listener.final(3) == ""

    async def test_a_turn_that_is_committed_twice_is_understood_once(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await listener.says(1, self.spoken(self.texts[0], stage.rate))
            await listener.transcription.commit(1)
            await listener.transcription.commit(1)
            assert await listener.final(1) == self.texts[0]
            await listener.transcription.commit(1)
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]
            assert len(listener.finals(1)) == 1

    async def test_nothing_is_told_of_a_discarded_turn(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await listener.says(1, self.spoken(self.texts[0], stage.rate))
            await listener.transcription.discard(1)
            told = len(listener.events)
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]
            assert not [one for one in listener.events[told:] if getattr(one, "turn", 2) != 2]
            assert listener.finals(1) == []

    async def test_what_never_was_can_be_discarded(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await listener.transcription.discard(1)
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]
            await listener.transcription.discard(2)
            await listener.transcription.discard(2)
            assert await self.asks(listener, 3, self.texts[2]) == self.texts[2]

    async def test_a_committed_turn_can_be_discarded(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await listener.says(1, self.spoken(self.texts[0], stage.rate))
            await listener.transcription.commit(1)
            await listener.transcription.discard(1)
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]
            assert len(listener.finals(1)) <= 1

    async def test_what_is_sent_again_comes_in_longer_pieces(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await listener.says(1, self.spoken(self.texts[0], stage.rate), milliseconds=100)
            await listener.transcription.commit(1)
            assert await listener.final(1) == self.texts[0]

    async def test_a_piece_of_nothing_harms_nobody(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await listener.transcription.hear(1, b"")
            assert await self.asks(listener, 1, self.texts[0]) == self.texts[0]

    async def test_what_was_charged_is_about_what_was_sent(self, stage: SpeechToText) -> None:
        if stage.local:
            pytest.skip("a local engine charges nothing")
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
            await listener.until(lambda: any(isinstance(one, Spent) for one in listener.events))
            spent = sum(one.seconds for one in listener.events if isinstance(one, Spent))
            sent = len(self.spoken(self.texts[0], stage.rate)) / 2 / stage.rate
            assert spent == pytest.approx(sent, abs=0.2)

    async def test_the_service_says_when_a_turn_has_ended(self, stage: SpeechToText) -> None:
        if not stage.server_turns:
            pytest.skip("it cannot")
        async with self.listening(stage, server_turns=True) as listener:
            for turn, text in enumerate(self.texts, start=1):
                await listener.says(turn, self.spoken(text, stage.rate))
                # What the line sends until its own detector has noticed the silence.
                await listener.says(turn, bytes(stage.rate * 2))
                await listener.until(lambda turn=turn: Ended(turn) in listener.events)  # type: ignore[misc]
                last = [one for one in listener.events if isinstance(one, Transcript | Ended)][-2:]
                assert last[1] == Ended(turn)
                assert plain(getattr(last[0], "text", "")) == text
                assert getattr(last[0], "final", False)

    async def test_a_commit_ends_a_turn_that_the_service_has_not_ended(self, stage: SpeechToText) -> None:
        async with self.listening(stage, server_turns=stage.server_turns) as listener:
            await listener.says(1, self.spoken(self.texts[0], stage.rate)[: -stage.rate // 4 * 2])
            await listener.transcription.commit(1)
            assert await listener.final(1) == self.texts[0]
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]

    async def test_only_commits_end_turns_where_the_service_is_not_asked_to(
        self, stage: SpeechToText
    ) -> None:
        async with self.listening(stage) as listener:
            await listener.says(1, self.spoken(self.texts[0], stage.rate) + bytes(stage.rate * 2))
            await listener.says(1, self.spoken(self.texts[1], stage.rate))
            await listener.transcription.commit(1)
            assert await listener.final(1) == f"{self.texts[0]} {self.texts[1]}"
            assert len(listener.finals(1)) == 1
            assert not [one for one in listener.events if isinstance(one, Ended)]

    async def test_closing_ends_the_iteration_and_may_be_repeated(self, stage: SpeechToText) -> None:
        before = asyncio.all_tasks()
        listener = Listener(await stage.connect(Hearing()), stage.rate)
        await listener.says(1, self.spoken(self.texts[0], stage.rate))
        await listener.close()
        await listener.close()
        assert listener.fault is None
        with pytest.raises(ProviderUnavailable):
            await listener.transcription.hear(1, bytes(640))
        with pytest.raises(ProviderUnavailable):
            await listener.transcription.commit(1)
        assert asyncio.all_tasks() <= before

    async def test_two_connections_know_nothing_of_each_other(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as one, self.listening(stage) as other:
            first, second = await asyncio.gather(
                self.asks(one, 1, self.texts[0]), self.asks(other, 1, self.texts[1])
            )
            assert (first, second) == (self.texts[0], self.texts[1])

    async def test_it_is_warmed_once_however_many_ask(self, stage: SpeechToText) -> None:
        await asyncio.gather(stage.warm(), stage.warm())
        await stage.warm()
        await stage.close()
        await stage.close()

    async def test_nothing_that_was_said_is_logged(
        self, stage: SpeechToText, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="appliance")
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
        ours = [record.getMessage() for record in caplog.records if record.name.startswith("appliance")]
        assert not [line for line in ours if any(word in line for word in self.texts[0].split())]

    def test_a_key_that_there_is_not_is_refused_when_it_is_built(self) -> None:
        with pytest.raises(ConfigurationInvalid, match="no_such_key"):
            plugins.load("appliance.stt", self.name)({"no_such_key": 1})
