"""The table of call states: every pair is decided, and an ended call stays ended."""

import itertools

import pytest

from appliance.call.machine import FOLLOWERS, CallState, follow


@pytest.mark.parametrize(("state", "reported"), list(itertools.product(CallState, CallState)))
def test_a_report_is_followed_exactly_where_the_table_says(state: CallState, reported: CallState) -> None:
    assert follow(state, reported) == (reported if reported in FOLLOWERS[state] else None)


@pytest.mark.parametrize("reported", CallState)
def test_nothing_follows_the_end(reported: CallState) -> None:
    assert follow(CallState.ENDED, reported) is None


@pytest.mark.parametrize("state", [state for state in CallState if state is not CallState.ENDED])
def test_every_call_can_end(state: CallState) -> None:
    assert follow(state, CallState.ENDED) is CallState.ENDED
