"""What was said and is not understood yet, as a stage and its successors are told of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.providers.chain.journal import FRAME_MS, LONGEST_FRAMES, TurnJournal


def frame(number: int) -> bytes:
    return number.to_bytes(2, "little")


def heard(journal: TurnJournal, turn: int, numbers: range) -> None:
    for number in numbers:
        journal.hear(turn, frame(number))


@pytest.mark.slow
@given(said=st.integers(1, 60), pieces=st.lists(st.integers(1, 9), max_size=20))
def test_every_frame_goes_over_a_connection_once_and_over_the_next_one_from_the_start(said, pieces):
    journal = TurnJournal()
    heard(journal, 1, range(said))
    entry = journal.next_to_send()
    assert entry is not None
    over_the_first = b"".join(entry.take(most) for most in pieces)
    journal.send_anew()
    whole = b"".join(frame(number) for number in range(said))
    assert whole.startswith(over_the_first)
    assert entry.take(said) == whole
    assert entry.behind == 0


def test_of_more_than_a_minute_the_oldest_goes_and_is_counted():
    journal = TurnJournal()
    heard(journal, 1, range(LONGEST_FRAMES))
    entry = journal.next_to_send()
    assert entry is not None
    entry.take(2)
    heard(journal, 2, range(5))
    assert journal.dropped_ms == 5 * FRAME_MS
    assert entry.take(1) == frame(5)


def test_a_turn_that_a_stage_has_heard_of_is_to_be_forgotten_there_too():
    journal = TurnJournal()
    heard(journal, 1, range(3))
    heard(journal, 2, range(3))
    entry = journal.find(1)
    assert entry is not None
    entry.take(1)
    assert journal.discard(1)
    assert not journal.discard(2), "nothing of it was sent"
    assert not journal.discard(3)
    assert [journal.next_unwanted(), journal.next_unwanted()] == [entry.key, None]


def test_a_turn_over_which_three_connections_were_lost_is_given_up_once_it_was_said_to_its_end():
    journal = TurnJournal()
    heard(journal, 1, range(3))
    heard(journal, 2, range(3))
    journal.commit(1)
    for _ in range(2):
        for turn in (1, 2):
            entry = journal.find(turn)
            assert entry is not None
            entry.take(1)
        assert journal.connection_lost(3) == []
    for turn in (1, 2):
        entry = journal.find(turn)
        assert entry is not None
        entry.take(1)
    assert journal.connection_lost(3) == [1]
    assert journal.find(2) is not None, "somebody is still speaking"


def test_a_stage_owes_the_oldest_turn_from_when_it_was_done_with_the_one_before():
    journal = TurnJournal()
    for turn, now in ((1, 10.0), (2, 11.0)):
        heard(journal, turn, range(1))
        entry = journal.find(turn)
        assert entry is not None
        entry.commit_sent, entry.owed_since = True, now
    assert journal.owed_since() == 10.0
    first = journal.find(1)
    assert first is not None
    journal.understood(first, 15.0)
    assert journal.owed_since() == 15.0


def test_what_comes_late_of_one_conversation_is_no_turn_of_the_next():
    journal = TurnJournal()
    heard(journal, 1, range(1))
    entry = journal.find(1)
    assert entry is not None
    assert journal.turn_of(entry.key) == 1
    journal.next_conversation()
    assert journal.turn_of(entry.key) is None
    assert len(journal) == 0
