"""What a speech-to-text stage owes the chain besides, where it talks to a service over a network."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

import pytest

from appliance import plugins
from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
)
from appliance.stages import Hearing, SpeechToText
from tests.contract.stt.contract import SttContract
from tests.contract.stt.listener import SECONDS, Listener


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
