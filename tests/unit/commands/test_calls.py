"""The verbs about calls: what is made of the events that follow."""

import pytest

from appliance.commands.calls import taken


@pytest.mark.parametrize(
    ("state", "reason", "verdict"),
    [
        ("transferring", "calling 201", None),
        ("connected", "", None),
        ("connected", "joined with 12ab", True),
        ("held", "joined with 12ab", True),
        ("connected", "transfer failed: busy", False),
        ("held", "transfer failed: Busy Here", False),
        ("ended", "transferred", True),
        ("ended", "Normal", False),
    ],
)
def test_somebody_has_taken_a_call_that_is_transferred_or_not_or_it_is_not_yet_known(state, reason, verdict):
    assert taken({"type": "call", "state": state, "reason": reason}) is verdict
