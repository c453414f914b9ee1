"""What `status` shows."""

import time

from appliance.commands.lines import moment

NOON = time.mktime((2026, 11, 21, 12, 0, 5, 0, 0, -1))


def test_a_moment_of_today_is_a_time_of_day_and_any_other_has_its_date():
    assert moment(NOON, NOON + 60) == "12:00:05"
    assert moment(NOON, NOON + 86_400) == "2026-11-21 12:00:05"
