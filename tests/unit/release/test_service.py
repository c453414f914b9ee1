from dataclasses import replace

import pytest

from appliance.health import Health
from provisioning.release.gate import Gate, Verdict, worse
from provisioning.release.service import beside, fenced_in, read
from tests.fakes.release_service import WELL

UNIT = {"ActiveState": "active", "NRestarts": "0", "MainPID": "7"}


def health(**changed):
    """What /health says, as far as it matters here."""
    return {
        "ready": True,
        "parts": {"room": {"ok": False, "reason": "no device yet"}, "sip": {"ok": True, "reason": ""}},
        "heartbeats": {"loop": {"fresh": True}, "capture": {"fresh": False}},
        "counters": {"activity.calls": 1, "activity.talking": False},
        **changed,
    }


def test_what_systemd_and_the_control_port_say_is_one_reading():
    now = read(UNIT, health())
    assert (now.active, now.process, now.answers, now.ready, now.busy) == (True, 7, True, True, True)
    assert now.failing == {"room"}
    assert now.stale == {"capture"}
    assert now.reasons == ("room: no device yet",)


def test_a_service_that_does_not_answer_is_read_all_the_same():
    now = read({"ActiveState": "activating", "NRestarts": "3", "MainPID": ""}, None)
    assert (now.active, now.restarts, now.answers) == (False, 3, False)
    assert worse(WELL, now) == "the service does not run"


async def test_the_daemons_own_report_is_what_is_read_here():
    own = Health()
    own.part("sip").failing("the registrar is silent")
    own.count("activity", lambda: {"calls": 0, "talking": True})
    now = read(UNIT, own.report())
    assert now.failing == {"sip"}
    assert now.busy
    assert not now.stale
    assert not now.ready


@pytest.mark.parametrize("restarts_or_process", [{"restarts": 1}, {"process": 101}])
def test_a_restart_by_itself_is_bad_at_once_however_well_it_is_after_that(restarts_or_process):
    gate = Gate(WELL, began=0.0)
    assert gate.look(WELL, 0.0) is Verdict.WAIT
    assert gate.look(replace(WELL, **restarts_or_process), 1.0) is Verdict.BAD


@pytest.mark.parametrize(("mode", "hidden"), [(0o000, True), (0o755, False), (None, False)])
def test_a_unit_with_a_sandbox_sees_that_credentials_are_hidden_from_it(tmp_path, mode, hidden):
    credentials = tmp_path / "credentials"
    if mode is not None:
        credentials.mkdir(mode)
    assert fenced_in(credentials) is hidden


def test_what_is_asked_beside_the_sandbox_is_asked_as_the_daemons_user():
    command = beside(["/r/bin/handset", "doctor", "--json"], "handset", 300.0, {"LANG": "C.UTF-8"})
    assert command[-3:] == ["/r/bin/handset", "doctor", "--json"]
    assert {"--pipe", "--wait", "--property=User=handset", "--setenv=LANG=C.UTF-8"} < set(command)
    assert "--property=RuntimeMaxSec=300" in command
