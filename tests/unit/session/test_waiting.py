"""Time that a call was on hold counts for nothing."""

from appliance.session.allowance import Allowance, Notice
from appliance.session.patience import Patience, Sight, Verdict

IDLE = Sight(answer_within=None, idle=True, heard_ms=None)
OWED = Sight(answer_within=20.0, idle=False, heard_ms=None)


def test_a_call_may_last_as_much_longer_as_it_was_on_hold() -> None:
    allowance = Allowance(1, 0, 0.0)
    allowance.wait(600.0)
    assert allowance.look(640.0, float("inf")) is None
    assert allowance.look(650.0, float("inf")) is Notice.NEAR
    assert allowance.look(660.0, float("inf")) is Notice.CALL_OVER


def test_nobody_is_idle_for_being_on_hold() -> None:
    patience = Patience(60.0, 0.0)
    assert patience.look(IDLE, 50.0) is None
    patience.wait(600.0)
    assert patience.look(IDLE, 655.0) is None
    assert patience.look(IDLE, 660.0) is Verdict.IDLE


def test_an_answer_may_come_as_much_later() -> None:
    patience = Patience(300.0, 0.0)
    assert patience.look(OWED, 1.0) is None
    patience.wait(600.0)
    assert patience.look(OWED, 615.0) is None
    assert patience.look(OWED, 622.0) is Verdict.NO_ANSWER
