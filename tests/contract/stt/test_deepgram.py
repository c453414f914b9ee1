"""Deepgram as speech to text, both versions: the suite of all stages, and what is their own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from appliance import plugins
from appliance.errors import ConfigurationInvalid, ProviderUnavailable, SetupRejected
from appliance.providers.stt import deepgram
from appliance.providers.stt.deepgram import DeepgramFlux, DeepgramNova
from appliance.stages import EagerEnd, Ended, Hearing, SpeechToText, Transcript, TurnResumed
from tests.contract.stt.listener import SECONDS, plain
from tests.contract.stt.service_contract import SttServiceContract
from tests.fakes.deepgram import FakeDeepgram
from tests.rig.coded_speech import coded


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * 16_000) * 2)


def asked(cloud: FakeDeepgram) -> Mapping[str, list[str]]:
    """The parameters of the newest connection."""
    assert cloud.session.socket.request is not None
    return parse_qs(urlsplit(cloud.session.socket.request.path).query)


class DeepgramContract(SttServiceContract):
    @pytest.fixture
    async def cloud(self) -> AsyncIterator[FakeDeepgram]:
        async with FakeDeepgram() as cloud:
            yield cloud

    def section(self, cloud: Any) -> Mapping[str, Any]:
        return {"api_key": cloud.key, "base_url": cloud.base_url}

    def built(self, cloud: FakeDeepgram, **more: Any) -> SpeechToText:
        stage: SpeechToText = plugins.load("appliance.stt", self.name)({**self.section(cloud), **more})
        return stage

    async def test_it_says_goodbye(self, stage: SpeechToText, cloud: FakeDeepgram) -> None:
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
        assert cloud.session.texts[-1] == "CloseStream"

    async def test_all_that_was_said_reaches_the_service_in_one_connection(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        async with self.listening(stage) as listener:
            for turn, text in enumerate(self.texts, start=1):
                await self.asks(listener, turn, text)
        sent = b"".join(self.spoken(text, 16_000) for text in self.texts)
        assert bytes(cloud.session.pcm) == sent
        assert cloud.dials == 1

    async def test_names_are_told_beforehand_but_not_too_many(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        names = ["Ada  Lovelace", "", "Ada Lovelace", "bell\x07", *(f"name{n}" for n in range(200))]
        async with self.listening(stage, keywords=names):
            told = asked(cloud)["keyterm"]
        assert told[:2] == ["Ada Lovelace", "name0"]
        assert len(told) == 50

    async def test_a_model_that_there_is_not_is_a_fault_of_the_set_up(self, cloud: FakeDeepgram) -> None:
        key = "model" if self.name == "deepgram" else "flux_model"
        stage = self.built(cloud, **{key: "nova-99"})
        with pytest.raises(SetupRejected):
            await self._once(stage)
        await stage.close()

    @pytest.mark.parametrize(
        ("code", "reason"), [(1011, "NET-0001"), (1008, "DATA-0000"), (1000, ""), (1001, "")]
    )
    async def test_the_service_may_hang_up(
        self, stage: SpeechToText, cloud: FakeDeepgram, code: int, reason: str
    ) -> None:
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
            await cloud.close(code, reason)
            fault = await listener.lost()
            assert (fault is None) == (code in {1000, 1001})
            if fault is not None:
                assert isinstance(fault, ProviderUnavailable)
                assert reason not in fault.message

    async def test_a_long_turn_is_written_down_whole(self, stage: SpeechToText, cloud: FakeDeepgram) -> None:
        text = "one two three four five six seven eight nine ten red green blue left right up down open close"
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, text) == text

    async def test_a_pause_within_a_turn_loses_no_word_where_the_service_ends_turns(
        self, stage: SpeechToText
    ) -> None:
        async with self.listening(stage, server_turns=True) as listener:
            await listener.says(1, coded("one two") + silence(0.5))
            await listener.until(lambda: Ended(1) in listener.events)
            await listener.says(1, coded("three four") + silence(0.5))
            await listener.until(lambda: listener.events.count(Ended(1)) == 2)
            await listener.transcription.commit(1)
            assert await self.asks(listener, 2, "red") == "red"
            finals = [plain(text) for text in listener.finals(1)]
            assert finals[:2] == ["one two", "one two three four"]
            assert finals[2:] == ["one two three four"], "whoever commits a turn is answered"

    async def test_a_late_answer_is_waited_for(self, stage: SpeechToText, cloud: FakeDeepgram) -> None:
        cloud.think = 0.5
        said = "of all this nothing is understood before the very end of the turn"
        cloud.will_hear(said)
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, self.texts[0]) == said

    async def test_what_is_scripted_stands_for_any_sound(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        cloud.will_hear("what time is it", "thank you")
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, "one two three four five") == "what time is it"
            assert await self.asks(listener, 2, "one") == "thank you"
            assert await self.asks(listener, 3, "one") == "one"

    async def test_it_speaks_tls_to_whom_it_trusts_and_to_nobody_else(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with FakeDeepgram(tls=True) as cloud:
            stage = self.built(cloud)
            with pytest.raises(ProviderUnavailable, match="not trusted"):
                await stage.connect(Hearing())
            await stage.close()
            monkeypatch.setenv("SSL_CERT_FILE", str(cloud.certificate))
            stage = self.built(cloud)
            async with self.listening(stage) as listener:
                assert await self.asks(listener, 1, self.texts[0]) == self.texts[0]
            await stage.close()

    async def test_a_wrong_key_never_stands_in_the_fault(self, cloud: FakeDeepgram) -> None:
        stage = self.built(cloud, api_key="a-wrong-key-0123456789")
        with pytest.raises(Exception, match="refused the key") as caught:
            await self._once(stage)
        assert "wrong-key" not in repr(caught.value) + str(caught.value.__cause__)
        await stage.close()


class TestDeepgram(DeepgramContract):
    name = "deepgram"
    steps = ("dial", "open", "audio", "interim", "Finalize", "final piece", "final", "CloseStream")

    async def test_what_it_asks_for(self, cloud: FakeDeepgram) -> None:
        stage = self.built(cloud, model="nova-2", endpointing_ms=500, mip_opt_out=True)
        async with self.listening(stage, language="de", server_turns=True, keywords=["Ada"]):
            said = {name: values[0] for name, values in asked(cloud).items()}
        await stage.close()
        assert said == {
            "model": "nova-2",
            "language": "de",
            "encoding": "linear16",
            "sample_rate": "16000",
            "channels": "1",
            "interim_results": "true",
            "smart_format": "true",
            "endpointing": "500",
            "utterance_end_ms": "1000",
            "mip_opt_out": "true",
            "keywords": "Ada",
        }

    async def test_without_any_language_it_is_english(self, cloud: FakeDeepgram) -> None:
        stage = self.built(cloud, language="")
        async with self.listening(stage, language=""):
            assert asked(cloud)["language"] == ["en"]
        await stage.close()

    async def test_pauses_end_nothing_where_the_device_ends_turns(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        async with self.listening(stage):
            assert asked(cloud)["endpointing"] == ["false"]
            assert "utterance_end_ms" not in asked(cloud)

    async def test_a_quiet_connection_is_kept_alive(
        self, stage: SpeechToText, cloud: FakeDeepgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deepgram, "KEEP_ALIVE_SECONDS", 0.05)
        cloud.idle_seconds = 0.6
        async with self.listening(stage) as listener:
            await asyncio.sleep(0.8)
            assert await self.asks(listener, 1, self.texts[0]) == self.texts[0]
            await asyncio.sleep(0.8)
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]
        assert cloud.session.texts.count("KeepAlive") >= 5

    async def test_nobody_is_reminded_while_somebody_speaks(
        self, stage: SpeechToText, cloud: FakeDeepgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deepgram, "KEEP_ALIVE_SECONDS", 5.0)
        async with self.listening(stage) as listener:
            await listener.says(1, self.spoken(self.texts[0], 16_000), pace=0.01)
            await listener.transcription.commit(1)
            await listener.final(1)
        assert "KeepAlive" not in cloud.session.texts

    async def test_without_an_answer_to_finalize_what_is_known_counts(
        self, stage: SpeechToText, cloud: FakeDeepgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("appliance.providers.stt.deepgram_nova.FINAL_SECONDS", 0.2)
        cloud.answers_finalize = False
        async with self.listening(stage) as listener:
            await listener.says(1, self.spoken(self.texts[0], 16_000), pace=0.002)
            await listener.until(
                lambda: any(plain(one.text) == self.texts[0] for one in listener.transcripts(1))
            )
            await listener.transcription.commit(1)
            assert await listener.final(1) == self.texts[0]

    async def test_a_turn_of_which_nothing_is_left_does_not_wait_for_an_answer_that_does_not_come(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        cloud.final_words = 1
        cloud.noticeable = 0.5
        async with self.listening(stage) as listener:
            loop = asyncio.get_running_loop()
            await listener.says(1, coded("one two three", tail=0.1), pace=0.002)
            await listener.until(
                lambda: any(plain(one.text) == "one two three" for one in listener.transcripts(1))
            )
            began = loop.time()
            await listener.transcription.commit(1)
            assert await listener.final(1) == "one two three"
            assert loop.time() - began < 1.5, "0.3 s, not the two that a busy service gets"

    async def test_where_noise_hides_the_pause_the_gap_between_words_ends_the_turn(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        cloud.tells_speech_final = False
        async with self.listening(stage, server_turns=True) as listener:
            await listener.says(1, coded("one two", tail=1.6))
            await listener.until(lambda: Ended(1) in listener.events)
            assert plain(listener.finals(1)[0]) == "one two"

    async def test_pieces_that_are_final_on_their_way_are_joined(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        cloud.final_words = 2
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, "one two three four five") == "one two three four five"


class TestDeepgramFlux(DeepgramContract):
    name = "deepgram_flux"
    steps = ("dial", "open", "audio", "start", "update", "ForceEndTurn", "final", "CloseStream")

    @pytest.mark.parametrize(
        ("language", "model", "hint"),
        [
            ("en", "flux-general-en", None),
            ("en-GB", "flux-general-en", None),
            ("de-AT", "flux-general-multi", ["de"]),
            ("multi", "flux-general-multi", None),
        ],
    )
    async def test_the_language_chooses_the_model(
        self, stage: SpeechToText, cloud: FakeDeepgram, language: str, model: str, hint: list[str] | None
    ) -> None:
        async with self.listening(stage, language=language):
            assert asked(cloud)["model"] == [model]
            assert asked(cloud).get("language_hint") == hint

    async def test_thresholds_are_for_turns_that_the_service_ends(self, cloud: FakeDeepgram) -> None:
        stage = self.built(cloud, eot_threshold=0.8, eager_eot_threshold=0.4, eot_timeout_ms=3000)
        async with self.listening(stage, server_turns=True):
            said = asked(cloud)
            assert said["eot_threshold"] == ["0.8"]
            assert said["eager_eot_threshold"] == ["0.4"]
            assert said["eot_timeout_ms"] == ["3000"]
        async with self.listening(stage):
            said = asked(cloud)
            assert said["eot_threshold"] == ["1.0"]
            assert said["eot_timeout_ms"] == ["60000"]
            assert "eager_eot_threshold" not in said
        await stage.close()

    @pytest.mark.parametrize(
        "wrong",
        [{"eot_threshold": 0.2}, {"eager_eot_threshold": 0.8, "eot_threshold": 0.7}, {"eot_timeout_ms": 1}],
    )
    def test_senseless_thresholds_are_refused_when_it_is_built(self, wrong: Mapping[str, float]) -> None:
        with pytest.raises(ConfigurationInvalid):
            DeepgramFlux(wrong)

    async def test_an_eager_end_precedes_the_end_and_may_be_taken_back(self, cloud: FakeDeepgram) -> None:
        cloud.end_after = 0.4
        stage = self.built(cloud, eager_eot_threshold=0.4)
        async with self.listening(stage, server_turns=True) as listener:
            await listener.says(1, coded("one two", tail=0.2) + coded("three", tail=0.6))
            await listener.until(lambda: Ended(1) in listener.events)
            told = [one for one in listener.events if isinstance(one, EagerEnd | TurnResumed | Ended)]
            assert told == [EagerEnd(1, "One two"), TurnResumed(1), EagerEnd(1, "One two three"), Ended(1)]
            before = listener.events.index(EagerEnd(1, "One two"))
            assert Transcript(1, "One two", final=False) in listener.events[:before]
        await stage.close()

    async def test_after_the_last_word_it_hears_silence_until_it_finds_the_end(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        cloud.end_after = 0.5
        async with self.listening(stage, server_turns=True) as listener:
            await listener.says(1, coded("one two", tail=0.1))
            await listener.transcription.commit(1)
            assert await listener.final(1) == "one two"
            sent = len(cloud.session.pcm)
            await asyncio.sleep(0.4)
            assert len(cloud.session.pcm) == sent, "no silence is sent when nothing is waited for"
        assert "ForceEndTurn" not in cloud.session.texts
        assert sent > len(coded("one two", tail=0.1))

    async def test_where_it_finds_no_end_it_is_given_one(
        self, stage: SpeechToText, cloud: FakeDeepgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("appliance.providers.stt.deepgram_flux_turns.FILL_SECONDS", 0.3)
        cloud.end_after = 60.0
        async with self.listening(stage, server_turns=True) as listener:
            await listener.says(1, coded("one two", tail=0.1))
            await listener.transcription.commit(1)
            assert await listener.final(1) == "one two"
        assert cloud.session.texts.count("ForceEndTurn") == 1

    async def test_whoever_speaks_on_ends_the_turn_that_is_waited_for(
        self, stage: SpeechToText, cloud: FakeDeepgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("appliance.providers.stt.deepgram_flux_turns.FILL_SECONDS", 0.5)
        cloud.end_after = 60.0
        async with self.listening(stage, server_turns=True) as listener:
            await listener.says(1, coded("one two", tail=0.1))
            await listener.transcription.commit(1)
            await asyncio.sleep(0.25)
            await listener.says(2, coded("red green"))
            assert await listener.final(1) == "one two"
            await listener.transcription.commit(2)
            assert await listener.final(2) == "red green"

    async def test_a_fatal_error_of_the_service_ends_the_connection(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        async with self.listening(stage) as listener:
            await cloud.say(
                type="Error", code="INTERNAL_SERVER_ERROR", description="of what was said", sequence_id=9
            )
            fault = await listener.lost()
            assert isinstance(fault, ProviderUnavailable)
            assert "INTERNAL_SERVER_ERROR" in fault.message
            assert "what was said" not in fault.message
            with pytest.raises(ProviderUnavailable):
                await listener.transcription.hear(1, silence(0.02))

    async def test_a_service_that_refuses_after_the_handshake_is_left(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        cloud.flux_opens_with = {"type": "Error", "code": "CAPACITY", "description": "", "sequence_id": 0}
        with pytest.raises(ProviderUnavailable, match="CAPACITY"):
            await stage.connect(Hearing())
        await self.left(cloud)

    async def test_a_service_that_never_says_that_it_is_ready_can_be_given_up(
        self, stage: SpeechToText, cloud: FakeDeepgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cloud.flux_opens_with = {}
        dial = asyncio.ensure_future(stage.connect(Hearing()))
        async with asyncio.timeout(SECONDS):
            while not cloud.links:  # noqa: ASYNC110 - the fake tells nobody
                await asyncio.sleep(0.01)
        dial.cancel()
        await asyncio.wait({dial})
        await self.left(cloud)
        monkeypatch.setattr(deepgram, "DIAL_SECONDS", 0.3)
        with pytest.raises(ProviderUnavailable, match="in time"):
            await stage.connect(Hearing())
        await self.left(cloud)

    async def left(self, cloud: FakeDeepgram) -> None:
        """Wait until nobody is connected."""
        async with asyncio.timeout(SECONDS):
            while cloud.links:  # noqa: ASYNC110 - the fake tells nobody
                await asyncio.sleep(0.01)

    async def test_an_idle_connection_needs_no_sign_of_life(
        self, stage: SpeechToText, cloud: FakeDeepgram
    ) -> None:
        async with self.listening(stage) as listener:
            await asyncio.sleep(0.5)
            assert await self.asks(listener, 1, self.texts[0]) == self.texts[0]
        assert "KeepAlive" not in cloud.session.texts


async def test_an_empty_frame_would_be_a_violation() -> None:
    """The fake must be able to find what the stages must not do."""
    async with FakeDeepgram() as cloud:
        stage = DeepgramNova({"api_key": cloud.key, "base_url": cloud.base_url})
        transcription = await stage.connect(Hearing())
        socket = transcription._link.socket  # type: ignore[attr-defined] # noqa: SLF001
        await socket.send(b"")
        with pytest.raises((ProviderUnavailable, ConnectionClosed)):
            async for _ in transcription:
                pass
        await transcription.close()
        await stage.close()
        assert cloud.violations == ["0 bytes of sound"]


def test_nothing_of_the_library_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys; from appliance.providers.stt.deepgram import DeepgramNova, DeepgramFlux;"
        "DeepgramNova({}); DeepgramFlux({}); print(sorted(n for n in sys.modules if n.startswith('deepgram')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout.strip() == "[]"
