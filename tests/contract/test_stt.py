"""What every speech-to-text stage owes the chain. One class a stage; what is asked of all stands in SttContract.

A new stage inherits SttContract, or SttServiceContract where it talks to a service over a network, and gives `cloud`
(its fake, which decodes what it is told with `Recogniser`) and `section` (the keys it is built with). A stage whose
engine wants real speech overrides `spoken` and `texts`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Protocol

import pytest

from appliance import plugins
from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
)
from appliance.stages import Ended, Hearing, SpeechToText, Spent, Transcript, TranscriptEvent, Transcription
from tests.rig.coded_speech import coded, frames

SECONDS = 20.0
"""Nothing takes a tenth of that."""


class Cloud(Protocol):
    """What the suite asks of a service's fake."""

    violations: list[str]
    """Whatever it refused."""

    @property
    def links(self) -> int:
        """Connections, or requests, that are open."""
        ...

    def drop(self) -> None:
        """Every link is reset."""
        ...

    def stall(self) -> None:
        """Every link stays open, and nothing moves on it any more, no pong either."""
        ...

    def refuse(self, seconds: float) -> None:
        """Nothing listens for so long."""
        ...

    def reject_credentials(self) -> None:
        """The next dial finds its key refused."""
        ...

    def quota(self) -> None: ...

    def rate_limit(self, retry_after: float) -> None: ...

    def drop_at(self, step: str) -> None:
        """The link is reset the next time that the protocol comes to `step`."""
        ...

    async def garbage(self) -> None:
        """Every link is told what no service should say, and goes on."""
        ...


class Listener:
    """Holds one transcription, and keeps all that it tells."""

    def __init__(self, transcription: Transcription, rate: int) -> None:
        self.transcription = transcription
        self.rate = rate
        self.events: list[TranscriptEvent] = []
        self.fault: ApplianceError | None = None
        self._came = asyncio.Event()
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self.transcription:
                self.events.append(event)
                self._came.set()
        except ApplianceError as fault:
            self.fault = fault
        self._came.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not holds():
                self._came.clear()
                await self._came.wait()

    def transcripts(self, turn: int) -> list[Transcript]:
        return [one for one in self.events if isinstance(one, Transcript) and one.turn == turn]

    def finals(self, turn: int) -> list[str]:
        return [one.text for one in self.transcripts(turn) if one.final]

    async def final(self, turn: int) -> str:
        await self.until(lambda: bool(self.finals(turn)) or self.reader.done())
        assert self.finals(turn), f"no final transcript of turn {turn}"
        return plain(self.finals(turn)[-1])

    async def says(self, turn: int, pcm: bytes, *, milliseconds: int = 20, pace: float = 0.0) -> None:
        """`pace` seconds between the pieces."""
        for piece in frames(pcm, self.rate, milliseconds):
            await self.transcription.hear(turn, piece)
            await asyncio.sleep(pace)

    async def lost(self) -> ApplianceError | None:
        """Wait for the end of the iteration; the fault that it ended with."""
        async with asyncio.timeout(SECONDS):
            await asyncio.wait({self.reader})
        return self.fault

    async def close(self) -> None:
        async with asyncio.timeout(4.0):
            await self.transcription.close()
            await self.reader


def plain(text: str) -> str:
    """Without what services do to spelling."""
    return " ".join("".join(char for char in text.lower() if char.isalnum() or char == " ").split())


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

    # --- turns ---

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

    # --- the service ends turns ---

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

    # --- its life ---

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


class SttServiceContract(SttContract):
    """For stages that talk to a service. `steps` are where the fake's `drop_at` can cut the link."""

    steps: ClassVar[Sequence[str]] = ()
    notices_silence: ClassVar[bool] = True
    """Its protocol can tell a silent path from a quiet one."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "step" in metafunc.fixturenames:
            metafunc.parametrize("step", self.steps)

    async def test_a_connection_that_is_reset_ends_and_the_next_one_works(
        self, stage: SpeechToText, cloud: Cloud
    ) -> None:
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
            cloud.drop()
            fault = await listener.lost()
            assert fault is None or isinstance(fault, ProviderUnavailable)
            with pytest.raises(ProviderUnavailable):
                await listener.transcription.hear(2, bytes(640))
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]

    async def test_cut_at_any_step_the_next_utterance_works(
        self, stage: SpeechToText, cloud: Cloud, step: str
    ) -> None:
        cloud.drop_at(step)
        try:
            async with self.listening(stage) as listener:
                await listener.says(1, self.spoken(self.texts[0], stage.rate), pace=0.002)
                await listener.transcription.commit(1)
                await listener.until(lambda: bool(listener.finals(1)) or listener.reader.done())
        except ProviderUnavailable:
            pass
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, self.texts[1]) == self.texts[1]

    async def test_a_path_that_fell_silent_is_noticed_within_two_seconds(
        self, stage: SpeechToText, cloud: Cloud
    ) -> None:
        if not self.notices_silence:
            pytest.skip("its protocol cannot tell")
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
            cloud.stall()
            began = time.monotonic()
            assert isinstance(await listener.lost(), ProviderUnavailable)
            assert time.monotonic() - began < 4.0, "two seconds, and as much again on a busy machine"

    async def test_a_path_that_fell_silent_can_be_closed_in_time(
        self, stage: SpeechToText, cloud: Cloud
    ) -> None:
        listener = Listener(await stage.connect(Hearing()), stage.rate)
        await listener.says(1, self.spoken(self.texts[0], stage.rate))
        cloud.stall()
        began = time.monotonic()
        await listener.transcription.close()
        assert time.monotonic() - began < 3.0, "two seconds, and half as much again on a busy machine"
        await listener.lost()

    async def test_garbage_is_passed_over(self, stage: SpeechToText, cloud: Cloud) -> None:
        async with self.listening(stage) as listener:
            await cloud.garbage()
            await listener.says(1, self.spoken(self.texts[0], stage.rate))
            await cloud.garbage()
            await listener.transcription.commit(1)
            await cloud.garbage()
            assert await listener.final(1) == self.texts[0]

    async def test_a_service_that_is_not_there_is_unavailable(
        self, stage: SpeechToText, cloud: Cloud
    ) -> None:
        cloud.refuse(0.3)
        with pytest.raises(ProviderUnavailable):
            async with self.listening(stage) as listener:
                await self.asks(listener, 1, self.texts[0])
        await asyncio.sleep(0.5)
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, self.texts[0]) == self.texts[0]

    @pytest.mark.parametrize(
        ("fate", "error"),
        [
            ("reject_credentials", CredentialsRejected),
            ("quota", QuotaExhausted),
            ("rate_limit", RateLimited),
        ],
    )
    async def test_a_refusal_says_what_it_means(
        self, stage: SpeechToText, cloud: Cloud, fate: str, error: type[ApplianceError]
    ) -> None:
        if fate == "rate_limit":
            cloud.rate_limit(7.0)
        else:
            getattr(cloud, fate)()
        with pytest.raises(error) as caught:
            await self._once(stage)
        if isinstance(caught.value, RateLimited):
            assert caught.value.retry_after == 7.0
        assert str(self.section(cloud).get("api_key", "-")) not in str(caught.value)
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, self.texts[0]) == self.texts[0]

    async def _once(self, stage: SpeechToText) -> None:
        """One turn; raise what the connection ends with, where it is refused at its first request only."""
        async with self.listening(stage) as listener:
            try:
                await listener.says(1, self.spoken(self.texts[0], stage.rate))
                await listener.transcription.commit(1)
            except ProviderUnavailable:
                pass
            await listener.until(lambda: bool(listener.finals(1)) or listener.reader.done())
            if listener.fault is not None:
                raise listener.fault

    async def test_a_dial_that_is_given_up_leaves_nothing_behind(
        self, stage: SpeechToText, cloud: Cloud
    ) -> None:
        await stage.warm()
        before = asyncio.all_tasks()
        for delay in (0.0, 0.0, 0.001, 0.002, 0.004, 0.008, 0.016):
            dial = asyncio.ensure_future(stage.connect(Hearing()))
            await asyncio.sleep(delay)
            dial.cancel()
            done, _ = await asyncio.wait({dial}, timeout=SECONDS)
            assert done
            if not dial.cancelled():
                await dial.result().close()
        await self._left(cloud, before)

    async def test_a_farewell_that_is_given_up_leaves_nothing_behind(
        self, stage: SpeechToText, cloud: Cloud
    ) -> None:
        await stage.warm()
        before = asyncio.all_tasks()
        for delay in (0.0, 0.0, 0.001, 0.002):
            listener = Listener(await stage.connect(Hearing()), stage.rate)
            await listener.says(1, self.spoken(self.texts[0], stage.rate), milliseconds=100)
            await listener.transcription.commit(1)
            farewell = asyncio.ensure_future(listener.transcription.close())
            await asyncio.sleep(delay)
            farewell.cancel()
            await asyncio.wait({farewell, listener.reader}, timeout=SECONDS)
        await self._left(cloud, before)

    async def _left(self, cloud: Cloud, before: "set[asyncio.Task[Any]]") -> None:
        """Wait until nobody is connected, and nothing runs but what ran `before`."""
        for _ in range(1_000):
            if cloud.links == 0 and not asyncio.all_tasks() - before:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{cloud.links} links, {asyncio.all_tasks() - before}")

    async def test_without_a_key_it_says_which_one_is_missing(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = {key: value for key, value in self.section(cloud).items() if key != "api_key"}
        for variable in self.key_variables():
            monkeypatch.delenv(variable, raising=False)
        stage: SpeechToText = plugins.load("appliance.stt", self.name)(given)
        with pytest.raises(CredentialsRejected, match="no key"):
            await stage.connect(Hearing())
        await stage.close()

    def key_variables(self) -> Iterator[str]:
        yield from (
            "DEEPGRAM_API_KEY",
            "OPENAI_API_KEY",
            "GOOGLE_API_KEY",
            "GEMINI_API_KEY",
            "ELEVENLABS_API_KEY",
        )
