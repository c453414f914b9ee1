"""What `status` shows."""

import time

from appliance.commands.lines import _telephone, moment

NOON = time.mktime((2026, 11, 21, 12, 0, 5, 0, 0, -1))


def test_a_moment_of_today_is_a_time_of_day_and_any_other_has_its_date():
    assert moment(NOON, NOON + 60) == "12:00:05"
    assert moment(NOON, NOON + 86_400) == "2026-11-21 12:00:05"


def test_the_telephone_s_line_tells_do_not_disturb_and_how_a_failed_registration_is_mended():
    account = {"account": "default", "state": "failed", "code": 401, "server": "pbx"}
    account |= {"reason": "Unauthorized", "hint": "check password"}
    state = {"telephone": {"state": "listening", "address": "127.0.0.1:5060"}, "registrations": [account]}
    mended = "listening at 127.0.0.1:5060, failed 401 at pbx (Unauthorized; check password)"
    assert _telephone(state) == mended
    assert _telephone(state | {"do_not_disturb": True}) == mended.replace(
        ", failed", ", do not disturb, failed"
    )
