"""How long a session waits, for whom."""

from appliance.session.patience import Patience, Sight, Verdict, answer_within


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
