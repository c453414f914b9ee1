"""When what is heard counts as somebody who interrupts."""

from appliance.audio.capture import Captured
from appliance.audio.vad import Edge
from appliance.frames import Frame
from appliance.session.onset import OnsetWatch
from appliance.session.turn import SpeechConfirmed, SpeechDismissed, SpeechStarted, SpeechStopped


def frame(number: int) -> Frame:
    return Frame(number.to_bytes(2, "little") * 320, 16_000, number * 0.02)


class TestOnsetWatch:
    def watch(self):
        return OnsetWatch(60, 240)

    def run(self, watch, frames, *, doubtful=lambda event: False):
        """Feed (speech, edge, voiced_ms); `doubtful` says what follows an onset."""
        told, doubt = [], False
        for speech, edge, voiced in frames:
            event = watch.hear(Captured(frame(1), speech, edge, voiced, -20.0), doubtful=doubt)
            if event is not None:
                told.append(type(event))
                doubt = doubtful(event)
        return told

    def speech(self, voiced_frames: int, hangover: int = 30):
        yield True, Edge.STARTED, 60.0
        voiced = 60.0
        for _ in range(voiced_frames - 3):
            voiced += 20
            yield True, None, voiced
        for _ in range(hangover - 1):
            yield True, None, voiced
        yield False, Edge.STOPPED, 0.0

    def test_a_sentence_starts_and_stops(self):
        assert self.run(self.watch(), self.speech(50)) == [SpeechStarted, SpeechStopped]

    def test_a_click_is_dismissed(self):
        assert self.run(self.watch(), self.speech(4)) == [SpeechStarted, SpeechDismissed]

    def test_yes_is_a_turn(self):
        assert self.run(self.watch(), self.speech(6)) == [SpeechStarted, SpeechStopped]

    def test_a_candidate_is_confirmed_after_240_ms(self):
        watch = self.watch()
        frames = list(self.speech(50))[:10]
        assert self.run(watch, frames, doubtful=lambda e: isinstance(e, SpeechStarted)) == [
            SpeechStarted,
            SpeechConfirmed,
        ]

    def test_a_candidate_that_falls_silent_is_dismissed_long_before_the_hangover_is_over(self):
        frames = list(self.speech(7))[: 7 - 2 + 13]
        assert self.run(self.watch(), frames, doubtful=lambda e: isinstance(e, SpeechStarted)) == [
            SpeechStarted,
            SpeechDismissed,
        ]

    def test_voice_after_a_dismissal_is_a_new_candidate(self):
        frames = [*list(self.speech(7))[:20], *((True, None, 140.0 + 20 * n) for n in range(1, 16))]
        assert self.run(self.watch(), frames, doubtful=lambda e: isinstance(e, SpeechStarted)) == [
            SpeechStarted,
            SpeechDismissed,
            SpeechStarted,
            SpeechConfirmed,
        ]

    def test_a_cut_ends_the_run_and_what_is_skipped_makes_no_onset(self):
        watch = self.watch()
        self.run(watch, list(self.speech(50))[:20])
        assert isinstance(watch.cut(doubtful=False), SpeechStopped)
        assert watch.cut(doubtful=False) is None
        watch.skip(900.0)
        assert self.run(watch, [(True, None, 920.0), (True, None, 940.0)]) == []
        assert self.run(watch, [(True, None, 960.0)]) == [SpeechStarted]

    def hear_over(self, watch, overs, *, sounding=True):
        """Feed frames in which the detector finds nothing; `overs` says where somebody seems to talk over it."""
        told: list[type] = []
        for over in overs:
            captured = Captured(frame(1), False, None, 0.0, -20.0, over)
            event = watch.hear(captured, doubtful=bool(told), sounding=sounding and not told)
            if event is not None:
                told.append(type(event))
        return told

    def test_a_suspicion_that_the_detector_does_not_share_is_dismissed_after_300_ms(self):
        assert self.hear_over(self.watch(), [True] * 3 + [False] * 14) == [SpeechStarted]
        assert self.hear_over(self.watch(), [True] * 3 + [False] * 15) == [SpeechStarted, SpeechDismissed]

    def test_a_suspicion_alone_never_confirms_and_is_over_after_a_second(self):
        watch = self.watch()
        assert self.hear_over(watch, [True] * 50) == [SpeechStarted, SpeechDismissed]
        assert self.hear_over(watch, [True] * 50) == []
        assert self.hear_over(watch, [False, True]) == [SpeechStarted]

    def test_a_suspicion_is_confirmed_by_what_the_detector_finds(self):
        watch = self.watch()
        assert self.hear_over(watch, [True] * 5 + [False] * 5) == [SpeechStarted]
        frames = list(self.speech(50))[:12]
        events = [
            watch.hear(Captured(frame(1), speech, edge, voiced, -20.0), doubtful=True)
            for speech, edge, voiced in frames
        ]
        assert [type(event) for event in events if event] == [SpeechConfirmed] * 3
        assert events.index(SpeechConfirmed()) == (240 - 60) // 20

    def test_nobody_is_suspected_while_the_appliance_does_not_speak_or_speech_is_ignored(self):
        assert self.hear_over(self.watch(), [True] * 20, sounding=False) == []
        watch = self.watch()
        watch.ignore()
        assert self.hear_over(watch, [True]) == []

    def test_a_playout_that_was_over_by_itself_leaves_no_turn_behind_a_suspicion(self):
        watch = self.watch()
        assert self.hear_over(watch, [True]) == [SpeechStarted]
        quiet = Captured(frame(1), False, None, 0.0, -20.0)
        events = [watch.hear(quiet, doubtful=False) for _ in range(17)]
        assert [event for event in events if event] == [SpeechDismissed()]

    def test_ignored_speech_starts_nothing_before_the_detector_falls_silent(self):
        watch = self.watch()
        watch.ignore()
        assert self.run(watch, [(True, None, 500.0), (False, Edge.STOPPED, 0.0), *self.speech(50)]) == [
            SpeechStarted,
            SpeechStopped,
        ]
