import numpy as np
import pytest

from appliance.audio.resample import Resampler
from appliance.audio.vad import Decision, Edge, SpeechGate, load_confirm, load_detector
from appliance.config.schema import Vad
from appliance.errors import UnknownName
from appliance.frames import samples_in
from tests.rig.spoken import silence as still
from tests.rig.spoken import speech as spoken
from tests.rig.telephone_sound import RATE as TELEPHONE_RATE
from tests.rig.telephone_sound import from_mu_law, to_mu_law
from tests.unit.audio.sounds import RATE, at_level, fan, hum, music, pcm_of, silence, speech, white

FRAME = samples_in(20, RATE)
SENTENCES = ("What time is it in Berlin?", "Stop please", "Set a timer for five minutes", "Hello there")
STEADY = {"hum": hum, "white": white, "fan": fan, "held chords": music}


class Scripted:
    """A detector that says what the script says, frame by frame, then no."""

    rate = RATE

    def __init__(self, script: str, frame_samples: int = FRAME):
        self.frame_samples = frame_samples
        self.script = list(script)
        self.asked = 0

    def likelihood(self, pcm):
        self.asked += 1
        return float(bool(self.script) and self.script.pop(0) == "#")

    def reset(self):
        pass


def gate(*, confirm: bool = False) -> SpeechGate:
    return SpeechGate(Vad(), load_detector("webrtc"), load_detector("silero") if confirm else None)


def decide(under_test: SpeechGate, signal: np.ndarray) -> list[Decision]:
    pcm = pcm_of(signal)
    return [
        under_test.process(pcm[at : at + 2 * FRAME]) for at in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME)
    ]


def loud_frames(count):
    """A level that moves as speech does, so that only the scripted detector decides."""
    rise = np.repeat(np.tile([1.0, 0.25], count)[:count], FRAME)
    return at_level(white(count * 0.02), -20) * rise


def edges(decisions: list[Decision]) -> list[tuple[int, Edge]]:
    return [(number, decision.edge) for number, decision in enumerate(decisions) if decision.edge]


def seconds_of_speech(decisions: list[Decision]) -> float:
    return sum(decision.speech for decision in decisions) * 0.02


@pytest.mark.slow
@pytest.mark.parametrize("confirm", [False, True])
@pytest.mark.parametrize("level", [-15, -35])
@pytest.mark.parametrize("noise", STEADY)
def test_steady_sound_that_sets_in_does_not_latch(noise, level, confirm):
    signal = np.concatenate([silence(2), at_level(STEADY[noise](10), level)])
    assert seconds_of_speech(decide(gate(confirm=confirm), signal)) < (0.2 if confirm else 2.3)


@pytest.mark.parametrize("noise", STEADY)
def test_steady_sound_from_the_first_sample_on_does_not_latch(noise):
    assert seconds_of_speech(decide(gate(), at_level(STEADY[noise](10), -25))) < 1.5


@pytest.mark.slow
def test_plucked_music_is_no_speech_where_the_second_detector_is_asked():
    signal = np.concatenate([silence(1), at_level(music(8, note=0.4, decay=6), -20)])
    assert seconds_of_speech(decide(gate(confirm=True), signal)) < 0.2


def onsets(noise, snr_db: float, level: float, *, confirm: bool) -> list[float]:
    """Milliseconds from each sentence's first sample to its onset; infinite when it was missed."""
    delays = []
    for text in SENTENCES:
        words = at_level(speech(text), level)
        signal = np.concatenate([silence(2), words, silence(0.4)])
        if noise is not None:
            signal = signal + at_level(noise(len(signal) / RATE + 1)[: len(signal)], level - snr_db)
        found = [
            number
            for number, edge in edges(decide(gate(confirm=confirm), signal))
            if edge is Edge.STARTED and number >= 99
        ]
        spoken = 100 + len(words) // FRAME
        delays.append((found[0] - 99) * 20.0 if found and found[0] < spoken else float("inf"))
    return delays


@pytest.mark.slow
@pytest.mark.parametrize("confirm", [False, True])
@pytest.mark.parametrize("level", [-20, -40])
@pytest.mark.parametrize(
    ("noise", "snr_db"), [(None, 0), ("fan", 15), ("hum", 10), ("white", 10), ("held chords", 15)]
)
def test_speech_is_found_soon_also_quiet_and_in_noise(noise, snr_db, level, confirm):
    delays = onsets(STEADY.get(noise), snr_db, level, confirm=confirm)
    assert max(delays) <= 260
    assert np.median(delays) <= (120 if level > -30 else 140)


@pytest.mark.slow
def test_clear_speech_starts_within_eighty_milliseconds():
    assert np.median(onsets(None, 0, -20, confirm=False)) <= 80


def called(parts):
    """What arrives of it by a telephone's mu-law."""
    resampler = Resampler(TELEPHONE_RATE, RATE)
    pcm = resampler.process(from_mu_law(to_mu_law(np.concatenate(parts))).astype("<i2").tobytes())
    return np.frombuffer(pcm + resampler.flush(), dtype="<i2") / 32_768


@pytest.mark.slow
@pytest.mark.parametrize("word", ["help", "yes", "no", "stop", "hello", "hi", "time"])
@pytest.mark.parametrize("lost_ms", [0, 30, 60])
def test_one_short_word_is_found_at_the_very_beginning_of_a_call(word, lost_ms):
    for voice in ("flite:rms", "flite:slt"):
        for more_ms in (5, 15):
            words = spoken(word, TELEPHONE_RATE, voice=voice)[lost_ms * TELEPHONE_RATE // 1000 :]
            before, after = still(0.1 + more_ms / 1000, TELEPHONE_RATE), still(0.8, TELEPHONE_RATE)
            kinds = [edge for _, edge in edges(decide(gate(confirm=True), called([before, words, after])))]
            assert kinds == [Edge.STARTED, Edge.STOPPED], (voice, more_ms)


@pytest.mark.slow
def test_a_long_sentence_is_one_run_of_speech_in_noise():
    words = at_level(
        speech("The quick brown fox jumps over the lazy dog, and then it runs all the way home again"), -22
    )
    signal = np.concatenate([silence(2), words, silence(1.5)])
    signal += at_level(fan(len(signal) / RATE + 1)[: len(signal)], -34)
    kinds = [edge for number, edge in edges(decide(gate(confirm=True), signal)) if number > 95]
    assert kinds == [Edge.STARTED, Edge.STOPPED]


def test_speech_starts_after_start_ms_and_stops_after_the_hangover():
    settings = Vad(start_ms=60, hangover_ms=100)
    under_test = SpeechGate(settings, Scripted("...#####"))
    assert edges(decide(under_test, loud_frames(20))) == [(5, Edge.STARTED), (12, Edge.STOPPED)]


def test_voiced_time_leaves_the_hangover_out():
    under_test = SpeechGate(Vad(start_ms=60, hangover_ms=100), Scripted("#####"))
    voiced = [decision.voiced_ms for decision in decide(under_test, loud_frames(12))]
    assert voiced[:10] == [0, 0, 60, 80, 100, 100, 100, 100, 100, 0]


def test_two_stray_frames_are_no_speech():
    under_test = SpeechGate(Vad(start_ms=60), Scripted("##....##....##"))
    assert edges(decide(under_test, loud_frames(20))) == []


def test_a_missed_frame_does_not_make_an_onset_start_anew():
    under_test = SpeechGate(Vad(start_ms=60), Scripted("##.##"))
    assert edges(decide(under_test, loud_frames(6))) == [(4, Edge.STARTED)]


def test_a_candidate_that_the_second_detector_denies_is_no_speech():
    denies = Scripted("", frame_samples=512)
    under_test = SpeechGate(Vad(), Scripted("#" * 100), denies)
    assert seconds_of_speech(decide(under_test, loud_frames(100))) == 0
    assert denies.asked > 0


def test_the_second_detector_is_not_asked_without_a_candidate():
    second = Scripted("#" * 100, frame_samples=512)
    decide(SpeechGate(Vad(), Scripted(""), second), loud_frames(50))
    assert second.asked == 0


def test_one_sure_frame_of_the_second_detector_is_not_enough():
    under_test = SpeechGate(Vad(), Scripted("#" * 40), Scripted("#", frame_samples=512))
    assert seconds_of_speech(decide(under_test, loud_frames(40))) == 0


def test_speech_that_the_second_detector_goes_on_denying_ends():
    second = Scripted("##", frame_samples=512)
    decisions = decide(SpeechGate(Vad(), Scripted("#" * 1_000), second), loud_frames(400))
    kinds = [edge for _, edge in edges(decisions)]
    assert kinds == [Edge.STARTED, Edge.STOPPED]
    assert seconds_of_speech(decisions) < 5


def test_reset_ends_speech_and_says_so_once():
    under_test = SpeechGate(Vad(), Scripted("#####"))
    decide(under_test, loud_frames(5))
    assert under_test.reset() is Edge.STOPPED
    assert under_test.reset() is None


def test_an_unknown_detector_is_told_with_the_nearest_name():
    with pytest.raises(UnknownName) as caught:
        load_detector("webrct")
    assert "webrtc" in caught.value.hint


def test_confirmation_can_be_switched_off_and_is_automatic_otherwise():
    assert load_confirm("off") is None
    found = load_confirm("auto")
    assert found is not None
    assert found.frame_samples == 512
