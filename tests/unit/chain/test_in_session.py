"""A session with a chain of fake stages: what the person hears when a stage is of no use."""

from typing import Any

from appliance.errors import ProviderUnavailable
from appliance.events import Transcript, TurnChanged, Warned
from appliance.providers.chain import Chain
from tests.fakes.stages import FakeLanguageModel, FakeSpeechToText, FakeTextToSpeech
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time


@virtual_time
async def test_a_chain_without_another_provider_apologises_at_once_for_each_turn_and_goes_on():
    model, ear = FakeLanguageModel(), FakeSpeechToText()
    kinds: dict[str, Any] = {"stt": [ear], "llm": [model], "tts": [FakeTextToSpeech()] * 2}
    provider = Chain({}, {}, load=lambda kind, *_: kinds[kind])
    ear.will_hear(*["some words"] * 4)
    model.fail(ProviderUnavailable("gone"), times=6)
    async with Booth(providers=[provider], strict=False) as booth:
        for turn in (1, 2, 3):
            await booth.speak(1.0)
            await booth.state("thinking")
            await booth.idle()
            thinking, apology = (
                booth.when(TurnChanged, state="thinking"),
                booth.when(Warned, code="no_answer"),
            )
            assert 0 < apology - thinking < 1.0, f"turn {turn}"
        model.will_say("Here I am again.")
        await booth.speak(1.0)
        await booth.state("speaking")
        await booth.idle()
        assert [event.heard for event in booth.of(Transcript) if event.role == "assistant" and event.final][
            -1
        ] == "Here I am again."
        assert len(ear.connections) == 1
        await booth.lines.close("over")
        await provider.close()


@virtual_time
async def test_a_turn_that_the_next_connection_is_given_again_is_another_one_to_the_ear():
    model, ear = FakeLanguageModel(), FakeSpeechToText()
    kinds: dict[str, Any] = {"stt": [ear], "llm": [model], "tts": [FakeTextToSpeech()] * 2}
    provider = Chain({}, {}, load=lambda kind, *_: kinds[kind])
    ear.will_hear("some words", "some words")
    model.will_say("Too late.", think=1_000.0)
    model.will_say("Here I am.")
    async with Booth(providers=[provider], strict=False) as booth:
        await booth.speak(1.0)
        await booth.state("speaking")
        await booth.idle()
        assert ear.violations == []
        assert len(ear.connections) == 1
        assert [event.text for event in booth.of(Transcript) if event.role == "user" and event.final][
            -1
        ] == "some words"
        await booth.lines.close("over")
        await provider.close()
