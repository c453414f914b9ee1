"""The pure parts of a session, each by itself."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.capture import Captured
from appliance.audio.vad import Edge
from appliance.frames import Frame
from appliance.interfaces import Delivery
from appliance.session.announcements import Announcement, Announcements
from appliance.session.answers import Answers
from appliance.session.heard import SpokenText
from appliance.session.latency import TurnStopwatch
from appliance.session.onset import OnsetWatch
from appliance.session.patience import Patience, Sight, Verdict, answer_within
from appliance.session.phrases import Phrase, phrase
from appliance.session.turn import SpeechConfirmed, SpeechDismissed, SpeechStarted, SpeechStopped
from appliance.session.uplink import Uplink


def frame(number: int) -> Frame:
    return Frame(number.to_bytes(2, "little") * 320, 16_000, number * 0.02)


def numbers(frames) -> list[int]:
    return [int.from_bytes(frame.pcm[:2], "little") for frame in frames]


class TestUplink:
    def test_a_turn_begins_with_the_pre_roll_before_the_onset(self):
        uplink = Uplink(240)
        for number in range(200):
            uplink.keep(frame(number))
        uplink.onset(60)
        assert numbers(uplink.open(1)) == list(range(185, 200))

    def test_a_detector_that_is_late_costs_no_pre_roll(self):
        uplink = Uplink(240)
        for number in range(200):
            uplink.keep(frame(number))
        uplink.onset(600)
        assert len(uplink.open(1)) == 42

    def test_a_candidate_is_kept_whole_until_it_is_confirmed(self):
        uplink = Uplink(240)
        for number in range(20):
            uplink.keep(frame(number))
        uplink.onset(60)
        uplink.hold()
        for number in range(20, 120):
            uplink.keep(frame(number))
        assert numbers(uplink.open(1)) == list(range(5, 120))

    def test_a_dismissed_candidate_serves_as_pre_roll_again(self):
        uplink = Uplink(240)
        uplink.hold()
        for number in range(20):
            uplink.keep(frame(number))
        uplink.let_go()
        uplink.onset(60)
        assert numbers(uplink.open(1)) == list(range(5, 20))

    def test_the_journal_has_the_whole_turn_until_it_is_answered(self):
        uplink = Uplink(100)
        uplink.keep(frame(0))
        uplink.open(3)
        for number in range(1, 10):
            uplink.add(frame(number))
        uplink.commit()
        [entry] = uplink.unanswered()
        assert (entry.turn, numbers(entry.frames), entry.committed) == (3, list(range(10)), True)
        uplink.answered(3)
        assert uplink.unanswered() == ()
        assert uplink.counters()["journal_ms"] == 0

    def test_an_answer_to_an_older_turn_keeps_the_newer(self):
        uplink = Uplink(100)
        uplink.typed(1, "One?")
        uplink.typed(2, "Two?")
        uplink.answered(1)
        assert [entry.turn for entry in uplink.unanswered()] == [2]
        uplink.answered(7)
        assert [entry.turn for entry in uplink.unanswered()] == [2]

    def test_beyond_a_minute_the_oldest_goes_and_is_counted(self):
        uplink = Uplink(0)
        uplink.open(1)
        for number in range(3100):
            uplink.add(frame(number))
        [entry] = uplink.unanswered()
        assert numbers(entry.frames) == list(range(100, 3100))
        assert uplink.counters()["journal_dropped_ms"] == 2000

    def test_silence_beyond_a_second_is_trimmed_and_counted(self):
        uplink = Uplink(0)
        uplink.open(1)
        for number in range(200):
            uplink.add(frame(number), speech=number in (0, 199))
        assert uplink.counters()["journal_ms"] == 1000 + 40
        assert uplink.counters()["journal_trimmed_ms"] == 200 * 20 - 1040

    def test_of_a_long_silence_the_pre_roll_of_the_next_word_is_kept(self):
        uplink = Uplink(100)
        uplink.open(1)
        for number in range(200):
            uplink.add(frame(number), speech=number in (0, 199))
        [entry] = uplink.unanswered()
        assert numbers(entry.frames)[-6:] == [194, 195, 196, 197, 198, 199]
        assert uplink.counters()["journal_trimmed_ms"] == 200 * 20 - 1040 - 100

    def test_silence_that_was_held_back_is_sent_again_or_counted(self):
        uplink = Uplink(100)
        uplink.open(1)
        for number in range(100):
            uplink.add(frame(number), speech=number == 0)
        assert numbers(uplink.resent()[0].frames)[-5:] == [95, 96, 97, 98, 99]
        for number in range(100, 110):
            uplink.add(frame(number), speech=False)
        uplink.commit()
        assert uplink.counters()["journal_ms"] + uplink.counters()["journal_trimmed_ms"] == 110 * 20

    def test_what_was_said_before_a_superseding_turn_is_its_beginning(self):
        uplink = Uplink(0)
        uplink.open(1)
        uplink.add(frame(1))
        uplink.commit()
        uplink.carry()
        assert uplink.unanswered() == ()
        uplink.open(2)
        uplink.add(frame(2))
        [entry] = uplink.unanswered()
        assert (entry.turn, numbers(entry.frames)) == (2, [1, 2])
        uplink.commit()
        uplink.answered(2)
        assert uplink.counters()["journal_ms"] == 0

    def test_a_turn_that_is_answered_before_its_end_stays_open(self):
        uplink = Uplink(0)
        uplink.open(1)
        uplink.add(frame(1))
        uplink.answered(1)
        uplink.add(frame(2))
        uplink.commit()
        assert [numbers(entry.frames) for entry in uplink.unanswered()] == [[1, 2]]

    def test_a_discarded_turn_leaves_nothing(self):
        uplink = Uplink(100)
        uplink.keep(frame(0))
        uplink.open(1)
        assert uplink.discard()
        uplink.open(2)
        assert not uplink.discard()
        assert (uplink.unanswered(), uplink.counters()["journal_ms"]) == ((), 0)

    @given(st.lists(st.sampled_from(["keep", "add", "open", "commit", "answered", "carry", "discard"])))
    def test_the_journal_always_knows_how_much_it_holds(self, steps):
        uplink = Uplink(100, bound_ms=200)
        turn, is_open = 0, False
        for number, step in enumerate(steps):
            match step:
                case "open" if not is_open:
                    turn, is_open = turn + 1, True
                    uplink.open(turn)
                case "keep" if not is_open:
                    uplink.keep(frame(number))
                case "add" if is_open:
                    uplink.add(frame(number))
                case "commit" | "discard" if is_open:
                    is_open = False
                    getattr(uplink, step)()
                case "answered":
                    if not is_open:
                        uplink.answered(turn)
                case "carry":
                    if not is_open:
                        uplink.carry()
        held = sum(f.duration_ms for entry in uplink.unanswered() for f in entry.frames)
        assert held <= uplink.counters()["journal_ms"] + 1e-6
        assert uplink.counters()["journal_ms"] <= 200 + 1e-6


class TestSpokenText:
    def test_nothing_was_heard_at_the_start(self):
        spoken = SpokenText()
        spoken.add("Hello there.", 0)
        spoken.add_audio(1000)
        assert spoken.heard(0) == ""

    def test_all_was_heard_at_the_end(self):
        spoken = SpokenText()
        spoken.add("Hello there. ", 0)
        spoken.add("How are you?", 1000)
        spoken.add_audio(2000)
        spoken.complete = True
        assert spoken.heard(2000) == "Hello there. How are you?"

    def test_inside_a_piece_it_is_by_proportion_and_in_whole_words(self):
        spoken = SpokenText()
        spoken.add("aaaa bbbb cccc dddd", 0)
        spoken.add_audio(1900)
        spoken.complete = True
        assert spoken.heard(400) == "aaaa"
        assert spoken.heard(890) == "aaaa"
        assert spoken.heard(900) == "aaaa bbbb"

    def test_a_sentence_whose_audio_is_still_coming_was_not_heard_whole(self):
        spoken = SpokenText()
        spoken.add("This is a sentence of fifty characters, as it were.", 0)
        spoken.add_audio(200)
        assert spoken.heard(200) == "This"
        assert len(spoken.heard(1000)) < 30

    def test_text_that_comes_without_a_place_of_its_own_belongs_to_the_piece_before(self):
        spoken = SpokenText()
        spoken.add("One ", 0)
        spoken.add("two ", 0)
        spoken.add("three", 500)
        spoken.add("", 900)
        spoken.add_audio(1000)
        spoken.complete = True
        assert spoken.heard(500) == "One two"
        assert spoken.text == "One two three"

    @given(
        st.lists(st.tuples(st.text("ab ", min_size=1, max_size=20), st.floats(0, 5000)), max_size=8),
        st.lists(st.floats(0, 6000), min_size=2, max_size=5),
    )
    def test_what_was_heard_only_grows_and_is_the_beginning_of_the_text(self, pieces, times):
        spoken = SpokenText()
        for text, at in pieces:
            spoken.add(text, at)
        spoken.add_audio(5500)
        spoken.complete = True
        heard = [spoken.heard(at) for at in sorted(times)]
        assert all(later.startswith(sooner) for sooner, later in itertools.pairwise(heard))
        assert all(spoken.text.strip().startswith(part) for part in heard)


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


class TestAnswers:
    def test_an_answer_settles_its_turn(self):
        answers = Answers()
        answers.expect(1)
        assert answers.began("r1", 1)
        answers.ended("r1")
        assert answers.owed is None

    def test_a_word_before_the_tool_is_not_yet_the_answer(self):
        answers = Answers()
        answers.expect(1)
        answers.began("r1", 1)
        answers.tool_called("c1", 1, Delivery.IMMEDIATE)
        answers.ended("r1")
        assert answers.owed == 1
        answers.tool_answered("c1", 1, Delivery.IMMEDIATE)
        assert answers.owed == 1
        answers.began("r2", 1)
        answers.ended("r2")
        assert answers.owed is None

    def test_a_quick_tool_does_not_make_the_word_before_it_the_answer(self):
        answers = Answers()
        answers.expect(1)
        answers.began("r1", 1)
        answers.tool_called("c1", 1, Delivery.IMMEDIATE)
        answers.tool_answered("c1", 1, Delivery.IMMEDIATE)
        answers.ended("r1")
        assert answers.owed == 1

    def test_one_response_around_a_tool_call_is_the_answer(self):
        answers = Answers()
        answers.expect(1)
        answers.began("r1", 1)
        answers.tool_called("c1", 1, Delivery.IMMEDIATE)
        answers.tool_answered("c1", 1, Delivery.IMMEDIATE)
        answers.gave("r1")
        answers.ended("r1")
        assert answers.owed is None

    def test_what_is_withdrawn_is_not_wanted_and_what_comes_after_is(self):
        answers = Answers()
        answers.expect(1)
        answers.began("r1", 1)
        answers.withdraw()
        assert answers.turn_of("r1") is None
        assert not answers.began("r2", 1)
        answers.expect(2)
        assert answers.began("r3", 2)

    def test_what_is_owed_outlives_a_connection(self):
        answers = Answers()
        answers.expect(1)
        answers.began("1:r1", 1)
        assert answers.lost() == ("1:r1",)
        assert answers.owed == 1
        assert answers.began("2:r1", 1)


class TestPatience:
    def look(self, patience, now, *, owed=False, up=True, hopeless=False, idle=True, heard=None):
        within = answer_within(up=up, hopeless=hopeless) if owed else None
        return patience.look(Sight(within, idle, heard), now)

    def test_idle_for_too_long(self):
        patience = Patience(30.0, 0.0)
        assert self.look(patience, 29.0) is None
        assert self.look(patience, 30.0) is Verdict.IDLE

    def test_an_answer_may_take_20_s_and_60_while_the_link_is_down(self):
        patience = Patience(300.0, 0.0)
        assert self.look(patience, 19.0, owed=True, idle=False) is None
        assert self.look(patience, 20.0, owed=True, idle=False) is Verdict.NO_ANSWER
        assert self.look(patience, 59.0, owed=True, idle=False, up=False) is None
        assert self.look(patience, 60.0, owed=True, idle=False, up=False) is Verdict.NO_ANSWER

    def test_without_hope_nobody_is_kept_waiting(self):
        patience = Patience(300.0, 0.0)
        assert self.look(patience, 1.0, owed=True, idle=False, up=False, hopeless=True) is Verdict.NO_ANSWER

    def test_who_talks_is_not_idle(self):
        patience = Patience(30.0, 0.0)
        self.look(patience, 29.0, idle=False)
        assert self.look(patience, 58.0) is None
        assert self.look(patience, 59.0) is Verdict.IDLE

    def test_sound_that_does_not_move_for_5_s_is_stalled(self):
        patience = Patience(300.0, 0.0)
        assert self.look(patience, 1.0, idle=False, heard=100.0) is None
        assert self.look(patience, 5.0, idle=False, heard=200.0) is None
        assert self.look(patience, 9.9, idle=False, heard=200.0) is None
        assert self.look(patience, 10.0, idle=False, heard=200.0) is Verdict.STALLED


class TestAnnouncements:
    def ids(self, queue):
        return [taken.id for taken in iter(lambda: queue.take(free=True), None)]

    def test_urgent_ones_go_before_the_others_each_in_their_order(self):
        queue = Announcements()
        for name, urgent in [("a", False), ("b", True), ("c", False), ("d", True)]:
            queue.add(Announcement(name, name, urgent=urgent))
        assert self.ids(queue) == ["b", "d", "a", "c"]

    def test_the_patient_wait_for_a_free_floor(self):
        queue = Announcements()
        queue.add(Announcement("a", "a", patient=True))
        queue.add(Announcement("b", "b"))
        chosen = queue.take(free=False)
        assert chosen is not None
        assert chosen.id == "b"
        assert queue.take(free=False) is None
        assert queue.take(free=True) is not None

    def test_the_bound_drops_the_oldest_that_is_not_urgent(self):
        queue = Announcements(bound=2)
        queue.add(Announcement("a", "a"))
        queue.add(Announcement("b", "b", urgent=True))
        lost = queue.add(Announcement("c", "c", urgent=True))
        assert lost is not None
        assert lost.id == "a"
        lost = queue.add(Announcement("d", "d", urgent=True))
        assert lost is not None
        assert lost.id == "b"
        assert queue.counters() == {"announcements_waiting": 2, "announcements_dropped": 2}


class TestStopwatch:
    def test_stages_count_from_the_last_sound_of_the_voice_and_once(self):
        watch = TurnStopwatch()
        watch.start(4, 10.0, 10.6)
        watch.pass_(4, "first_text", 10.9)
        watch.pass_(4, "first_text", 11.9)
        watch.pass_(3, "first_audio", 10.7)
        event = watch.report(4, "s", "l")
        assert event is not None
        assert (event.end_of_speech, event.first_text, event.first_audio) == (600, 900, None)
        assert watch.report(4, "s", "l") is None


@pytest.mark.parametrize("which", list(Phrase))
@pytest.mark.parametrize("language", ["en", "de", "de-AT", "xx"])
def test_every_line_of_the_appliance_can_be_said(which, language):
    assert phrase(which, language)
