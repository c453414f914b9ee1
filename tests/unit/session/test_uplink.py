"""What was said is kept until it is answered, and said again to whoever comes next."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.frames import Frame
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
