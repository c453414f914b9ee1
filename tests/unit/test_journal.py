import logging
import os
import sys

from appliance import journal
from appliance.bus import EventBus
from appliance.events import Warned
from appliance.journal import JournalHandler, fields_of, journal_handler


def record(message, *args, level=logging.INFO, **extra):
    made = logging.LogRecord("appliance.call", level, "/x/call.py", 7, message, args, None, "answer")
    made.__dict__.update(extra)
    return made


class Pages:
    """Implements interfaces.Journal; `full` refuses."""

    def __init__(self, *, full=False):
        self.pages = []
        self.full = full

    def write(self, message, fields):
        if self.full:
            raise OSError(28, "no space")
        self.pages.append((message, dict(fields)))


def test_a_record_has_its_priority_and_its_place():
    fields = fields_of(record("the SIP process hung", level=logging.ERROR))
    assert fields["PRIORITY"] == "3"
    assert (fields["CODE_FILE"], fields["CODE_LINE"], fields["CODE_FUNC"]) == ("/x/call.py", "7", "answer")
    assert fields["LOGGER"] == "appliance.call"


def test_whom_a_message_names_is_a_field():
    fields = fields_of(record("call %s refused with %d %s", "c1", 486, "busy"))
    assert fields["HANDSET_CALL"] == "c1"
    fields = fields_of(record("100 %% of session %s on line %s: %.1f ms", "s-1", "room", 2.5))
    assert (fields["HANDSET_SESSION"], fields["HANDSET_LINE"]) == ("s-1", "room")


def test_a_message_without_ids_or_with_a_broken_pattern_names_nobody():
    for odd in (record("ready"), record("%(call)s", {"call": "c1"}), record("call %s"), record("call %d", 4)):
        assert not [name for name in fields_of(odd) if name.startswith("HANDSET_")]


def test_an_event_is_written_by_code_and_ids_and_never_with_its_text(monkeypatch):
    pages, bus, root = Pages(), EventBus(), logging.getLogger()
    monkeypatch.setattr(root, "handlers", [JournalHandler(pages)])
    monkeypatch.setattr(root, "level", logging.INFO)
    journal.follow(bus)
    bus.publish(Warned(code="turn_given_up", message="what was said", session="s-1", line="room"))
    [(message, fields)] = pages.pages
    assert (fields["HANDSET_CODE"], fields["HANDSET_SESSION"], fields["PRIORITY"]) == (
        "turn_given_up",
        "s-1",
        "4",
    )
    assert "said" not in message + str(fields)


def test_what_the_journal_does_not_take_goes_to_stderr(capsys):
    JournalHandler(Pages(full=True)).handle(record("the disk is full", level=logging.WARNING))
    assert capsys.readouterr().err == "<4>appliance.call: the disk is full\n"


def test_stderr_that_somebody_led_elsewhere_is_not_the_journal(tmp_path, monkeypatch):
    with (tmp_path / "log").open("w") as elsewhere:
        monkeypatch.setattr(sys, "stderr", elsewhere)
        here = os.fstat(elsewhere.fileno())
        assert journal_handler({"JOURNAL_STREAM": f"{here.st_dev}:{here.st_ino + 1}"}) is None
        assert journal_handler({}) is None
