"""When the network for the set-up page is opened and closed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.hotspot import (
    FIRST_SECONDS,
    JOIN_SECONDS,
    LATER_SECONDS,
    RETRY_SECONDS,
    USED_SECONDS,
    Hotspot,
    Phase,
    Seen,
    Step,
)

NOWHERE = Seen(online=False, radio=True, known=False)
ONLINE = Seen(online=True, radio=True, known=True)


def test_it_waits_a_minute_for_cables_and_known_networks_before_it_opens():
    hotspot = Hotspot(0.0)
    assert hotspot.look(NOWHERE, FIRST_SECONDS - 1) is Step.NOTHING
    assert hotspot.look(NOWHERE, FIRST_SECONDS) is Step.OPEN
    assert hotspot.look(NOWHERE, FIRST_SECONDS + 1) is Step.NOTHING


def test_a_router_that_is_started_anew_opens_nothing():
    hotspot = Hotspot(0.0)
    hotspot.look(ONLINE, 10.0)
    assert hotspot.look(NOWHERE, 10.0 + FIRST_SECONDS * 2) is Step.NOTHING
    assert hotspot.look(NOWHERE, 10.0 + LATER_SECONDS) is Step.OPEN


def test_a_cable_that_is_plugged_in_closes_it():
    hotspot = Hotspot(0.0)
    hotspot.look(NOWHERE, FIRST_SECONDS)
    assert hotspot.look(ONLINE, FIRST_SECONDS + 5) is Step.CLOSE
    assert hotspot.phase is Phase.WATCHING


def test_without_a_radio_there_is_nothing_to_open():
    assert Hotspot(0.0).look(Seen(online=False, radio=False, known=False), 1e6) is Step.NOTHING


def test_known_networks_are_tried_again_unless_somebody_reads_the_page():
    known = Seen(online=False, radio=True, known=True)
    hotspot = Hotspot(0.0)
    hotspot.look(known, FIRST_SECONDS)
    hotspot.used(FIRST_SECONDS + RETRY_SECONDS - 10)
    assert hotspot.look(known, FIRST_SECONDS + RETRY_SECONDS) is Step.NOTHING
    later = FIRST_SECONDS + RETRY_SECONDS + USED_SECONDS
    assert hotspot.look(known, later) is Step.CLOSE
    assert hotspot.look(known, later + FIRST_SECONDS) is Step.OPEN


def test_what_cannot_be_joined_is_given_up_and_the_page_comes_back():
    hotspot = Hotspot(0.0)
    hotspot.look(NOWHERE, FIRST_SECONDS)
    hotspot.submitted(100.0)
    assert hotspot.look(NOWHERE, 100.0 + JOIN_SECONDS - 1) is Step.NOTHING
    assert hotspot.look(NOWHERE, 100.0 + JOIN_SECONDS) is Step.REOPEN


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([NOWHERE, ONLINE]), st.floats(0.1, 400), st.booleans()), max_size=40)
)
def test_it_is_never_open_twice_nor_closed_unopened(story):
    hotspot, at, is_open = Hotspot(0.0), 0.0, False
    for seen, seconds, submit in story:
        at += seconds
        if submit and is_open:
            hotspot.submitted(at)
            is_open = False
        step = hotspot.look(seen, at)
        assert not (step in (Step.OPEN, Step.REOPEN) and is_open)
        assert not (step is Step.CLOSE and not is_open)
        is_open = is_open or step in (Step.OPEN, Step.REOPEN)
        is_open = is_open and step is not Step.CLOSE
