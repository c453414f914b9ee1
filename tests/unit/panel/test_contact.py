"""When a contact is believed."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.interfaces import Control
from appliance.panel.contact import Change, Contact, Settling, settling

BUTTON = Settling(active=0.004, inactive=0.02)


def believed(settle: Settling, *moves: tuple[float, bool], until: float = 100.0) -> list[Change]:
    contact, changes = Contact(settle), list[Change]()
    for at, active in moves:
        changes += contact.move(active, at)
    changes += contact.look(until)
    return changes


def test_a_press_that_bounces_at_both_ends_is_one_press():
    bouncing = [(1.0, True), (1.001, False), (1.002, True), (1.2, False), (1.205, True), (1.207, False)]
    assert believed(BUTTON, *bouncing) == [Change(True, 1.002), Change(False, 1.207)]


def test_a_spike_on_the_wire_is_no_press():
    assert believed(BUTTON, (1.0, True), (1.002, False)) == []


def test_a_press_is_believed_after_four_milliseconds():
    contact = Contact(BUTTON)
    assert contact.move(True, 1.0) == ()
    assert contact.due == 1.004
    assert contact.look(1.0039) == ()
    assert contact.look(1.004) == (Change(True, 1.0),)
    assert contact.due is None


def test_nobody_waits_for_the_microphone_to_be_switched_off():
    mute = settling(0.02)[Control.MUTE]
    contact = Contact(mute)
    assert contact.move(True, 1.0) == (Change(True, 1.0),)
    assert contact.move(False, 1.001) == ()
    assert contact.move(True, 1.002) == ()
    assert contact.active


def test_a_cradle_that_is_touched_hangs_nobody_up():
    hook = settling(0.02)[Control.HOOK]
    told = believed(hook, (1.0, True), (5.0, False), (5.2, True), (9.0, False))
    assert told == [Change(True, 1.0), Change(False, 9.0)]


def test_without_debouncing_every_move_counts():
    moves = [(1.0, True), (1.001, False), (1.002, True)]
    settle = settling(0.0)[Control.BUTTON]
    assert believed(settle, *moves) == [Change(active, at) for at, active in moves]


@given(st.lists(st.tuples(st.floats(0.0001, 1.0), st.booleans()), max_size=60))
def test_what_is_believed_alternates_and_ends_as_the_contact_does(steps: list[tuple[float, bool]]):
    at, moves = 0.0, list[tuple[float, bool]]()
    for pause, active in steps:
        at += pause
        moves.append((at, active))
    changes = believed(BUTTON, *moves, until=at + 1.0)
    assert [change.active for change in changes] == [number % 2 == 0 for number in range(len(changes))]
    assert (changes[-1].active if changes else False) is (moves[-1][1] if moves else False)
    times = [change.at for change in changes]
    assert times == sorted(times)
