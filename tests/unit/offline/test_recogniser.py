"""Speech becomes a sentence of the grammar, or nothing."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pocketsphinx
import pytest

from appliance.audio.resample import Resampler
from appliance.providers.offline.brain import Brains, SkilledBrain
from appliance.providers.offline.recogniser import NOTHING
from tests.rig.spoken import cough, silence, speech

pytestmark = pytest.mark.slow

FUNCTIONS = ("get_time", "set_timer", "cancel_timer", "list_timers", "set_volume", "call", "hang_up")
METERS = 1
"""Decoders that measure the cepstral mean, and search nothing."""
NEVER: Callable[[], bool] = lambda: False  # noqa: E731


@pytest.fixture(scope="module")
def brain() -> SkilledBrain:
    return Brains().build(FUNCTIONS, ["Siobhan"])


def telephoned(pcm: bytes) -> bytes:
    """`pcm` as a telephone passes it: 8 kHz, and back."""
    down, up = Resampler(16_000, 8_000), Resampler(8_000, 16_000)
    narrow = down.process(pcm) + down.flush()
    return up.process(narrow) + up.flush()


def said(text: str) -> bytes:
    return speech(text, lead=0.3, tail=0.4, voice="flite:slt").tobytes()


@pytest.mark.parametrize(
    "text", ["what time is it", "set a timer for half an hour", "turn it down", "how much time is left"]
)
def test_a_command_is_recognised_in_the_room_and_on_the_telephone(brain: SkilledBrain, text: str) -> None:
    for pcm in (said(text), telephoned(said(text))):
        heard = brain.hear(pcm, "", NEVER)
        assert (heard.text, heard.speech) == (text, True)


def test_a_call_loads_the_decoder_of_its_own_band_only(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    made = pocketsphinx.Decoder

    def decoder(**how: Any) -> Any:
        loaded.append("telephone" if "mllr" in how else "wide")
        return made(**how)

    monkeypatch.setattr(pocketsphinx, "Decoder", decoder)
    brain = Brains().build(FUNCTIONS, [])
    assert not loaded, "who only types needs none"
    for text in ("what time is it", "turn it down"):
        assert brain.hear(telephoned(said(text)), "", NEVER).text == text
    assert loaded.count("telephone") == 1
    assert loaded.count("wide") == METERS


@pytest.mark.parametrize(
    "text",
    [
        *(
            "will it rain this afternoon",
            "add milk to my shopping list",
            "the quick brown fox jumps over the lazy dog",
        ),
        *("cancel my appointment with the dentist", "set the thermostat to twenty degrees"),
    ],
)
def test_other_speech_is_told_as_such_and_is_no_command(brain: SkilledBrain, text: str) -> None:
    heard = brain.hear(said(text), "", NEVER)
    assert (heard.text, heard.speech) == ("", True)


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3])
def test_a_cough_is_nothing(brain: SkilledBrain, seconds: float) -> None:
    pcm = np.concatenate((silence(0.3), cough(seconds), silence(0.5))).tobytes()
    assert brain.hear(pcm, "", NEVER) == NOTHING


@pytest.mark.parametrize("pcm", [b"", b"\0" * 32_000, b"\x00\x7f" * 40, b"\x01"])
def test_silence_and_scraps_are_nothing(brain: SkilledBrain, pcm: bytes) -> None:
    assert brain.hear(pcm, "", NEVER) == NOTHING


def test_a_reply_is_heard_after_its_question_only(brain: SkilledBrain) -> None:
    assert brain.hear(said("yes please"), "confirmation", NEVER).text == "yes please"
    assert brain.hear(said("yes please"), "", NEVER).text == ""
    assert brain.hear(said("what time is it"), "confirmation", NEVER).text == "what time is it"


def test_a_name_that_no_dictionary_has_can_be_called(brain: SkilledBrain) -> None:
    assert brain.hear(said("call siobhan"), "", NEVER).text == "call siobhan"


def test_what_nobody_waits_for_costs_no_time(brain: SkilledBrain) -> None:
    begun = time.process_time()
    assert brain.hear(said("what time is it") * 5, "", lambda: True) == NOTHING
    assert time.process_time() - begun < 1.0
