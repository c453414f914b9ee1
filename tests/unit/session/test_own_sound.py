"""What the echo of our own sound explains neither starts a turn nor ends an answer."""

import numpy as np
import pytest

from appliance.audio.capture import Captured
from appliance.audio.vad import Edge
from appliance.frames import Frame
from appliance.session.onset import LONGEST_OWN_MS, OnsetWatch
from appliance.session.turn import SpeechConfirmed, SpeechDismissed, SpeechStarted
from tests.rig.acoustic_stage import AcousticStage
from tests.rig.acoustics import Setting

PCM = np.zeros(320, dtype="<i2").tobytes()


def told(foreign_ms: list[float], *, over: bool = False):
    """Speech is found from the third frame on; the events that come of it."""
    watch, events, doubtful = OnsetWatch(60, 240), [], False
    for number, foreign in enumerate(foreign_ms):
        speech = number >= 2 and not over
        edge = Edge.STARTED if number == 2 and speech else None
        voiced = 20.0 * (number + 1) if speech else 0.0
        captured = Captured(Frame(PCM, 16_000, number / 50), speech, edge, voiced, -20.0, over, foreign)
        event = watch.hear(captured, doubtful=doubtful, sounding=True)
        if event is not None:
            events.append(type(event))
            doubtful = isinstance(event, SpeechStarted)
    return events, watch.withheld


def test_our_own_sound_starts_nothing_and_is_counted():
    assert told([0.0] * 60) == ([], 1)
    assert told([0.0] * 60, over=True) == ([], 0)


def test_a_person_who_begins_within_it_starts_a_turn_as_soon_as_they_are_heard():
    events, _ = told([0.0] * 20 + [20.0 * n for n in range(1, 12)])
    assert events == [SpeechStarted, SpeechConfirmed]


def test_a_candidate_that_stays_our_own_sound_is_dismissed():
    events, withheld = told([20.0] * round(LONGEST_OWN_MS / 20))
    assert events == [SpeechStarted, SpeechDismissed]
    assert withheld == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "barge_every"),
    [
        (Setting(coupling_db=-12, delay_ms=100, drift_ppm=200), 0.0),
        (Setting(coupling_db=-20, delay_ms=60), 4.0),
    ],
)
def test_in_a_simulated_room_the_appliance_never_interrupts_itself(setting: Setting, barge_every: float):
    stage = AcousticStage(setting, barge_every=barge_every)
    tally = stage.run(16.0)
    stage.close()
    assert tally.self_interruptions == []
    assert tally.played > 5
    assert (len(tally.delays) > 0) == (barge_every > 0)
    assert tally.missed == 0
