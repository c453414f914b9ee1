"""The telephone's settings, and what the SIP process's messages mean."""

import pytest
from pydantic import SecretStr

from appliance.config.schema import Sip
from appliance.interfaces import (
    CallReport,
    DtmfReport,
    IncomingCall,
    MediaReport,
    NoticeReport,
    RegistrationReport,
)
from drivers.sip_pjsua2 import process, reports, settings
from drivers.sip_pjsua2.client import configure_message
from drivers.sip_pjsua2.supervisor import Timing


def test_the_sip_section_becomes_the_child_s_settings():
    section = Sip(
        server="pbx:5070", user="100", password=SecretStr("s3cret"), rtp_ports="41000-41010", codecs=("PCMU",)
    )
    told = settings.from_message(configure_message(section.model_dump(), Timing(keep_alive=5)))
    account = told.accounts[0]
    assert (account.server, account.user, account.password) == ("pbx:5070", "100", "s3cret")
    assert (told.rtp_first, told.rtp_count) == (41000, 10)
    assert told.codecs == ("PCMU",)
    assert told.keep_alive == 5
    assert told.user_agent.startswith("Handset/")


def test_a_password_may_come_as_plain_text():
    assert configure_message({"password": "s3cret"}, Timing())["accounts"][0]["password"] == "s3cret"


def test_settings_never_print_the_password():
    account = settings.AccountSettings(password="s3cret", turn_password="s3cret")
    assert "s3cret" not in repr(settings.Settings(accounts=(account,)))


def test_a_field_of_another_type_is_refused():
    with pytest.raises(ValueError, match="port"):
        settings.from_message({"type": "configure", "port": "5060"})


def test_the_process_inherits_no_secret_from_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k3y")
    monkeypatch.setenv("HANDSET_SIP__PASSWORD", "s3cret")
    arguments, environment = process.command("7")
    assert not {"k3y", "s3cret"} & {*arguments, *environment.values()}


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (
            {
                "type": "registration",
                "account": "sales",
                "state": "failed",
                "code": 403,
                "reason": "no",
                "server": "pbx",
                "hint": "ask",
                "addresses": ["192.0.2.1"],
            },
            RegistrationReport("failed", 403, "no", "pbx", "sales", "ask", ("192.0.2.1",)),
        ),
        (
            {"type": "call", "call": "1", "state": "ended", "code": 486, "reason": "Busy"},
            CallReport("1", "ended", 486, "Busy"),
        ),
        (
            {
                "type": "media",
                "call": "1",
                "active": True,
                "codec": "PCMU/8000",
                "events": False,
                "info": True,
            },
            MediaReport("1", True, "PCMU/8000", False, True),
        ),
        (
            {"type": "notice", "call": "1", "code": "c", "text": "t", "hint": "h"},
            NoticeReport("1", "c", "t", "h"),
        ),
        (
            {"type": "dtmf", "call": "1", "digit": "5", "duration_ms": 160, "method": "info"},
            DtmfReport("1", "5", 160, "info"),
        ),
        (
            {
                "type": "incoming",
                "call": "1",
                "peer": "p",
                "source": "s",
                "display_name": "d",
                "headers": {"a": "b"},
                "account": "sales",
            },
            IncomingCall("1", "p", "s", "d", {"a": "b"}, "sales"),
        ),
    ],
)
def test_a_message_becomes_its_event(body, event):
    assert reports.read(body) == event


@pytest.mark.parametrize("body", [{"type": "call"}, {"type": "dtmf", "call": 1}, {"type": "nonsense"}, {}])
def test_a_message_that_is_none_of_ours_becomes_nothing(body):
    assert reports.read(body) is None
