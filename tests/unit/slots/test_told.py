"""What became of an update of the system is told once, apart from the application's."""

from typing import Any

import pytest

from appliance.bus import EventBus
from appliance.events import Notified, ReleaseChanged, Transcript
from appliance.releases import SystemNews
from appliance.slots import slot_finding, slot_sentence, slot_status, spoken
from provisioning.release.trial import Report
from provisioning.slots.trial import DID_NOT_START, NOT_WRITTEN, SlotTrial
from tests.fakes.slots import FakeBoard


@pytest.fixture
def board(tmp_path):
    return FakeBoard(tmp_path)


def status(board: FakeBoard) -> dict[str, Any]:
    found = slot_status(board.slots())
    assert found is not None
    return found


def report(outcome="updated", reason=""):
    return Report("7f", outcome, "2", "1", reason, 1000.0)


def test_an_update_is_told_once_over_all_restarts(board, tmp_path):
    told: list[Any] = []
    said: list[str] = []
    bus = EventBus()
    bus.listen(lambda event: told.append(event) if isinstance(event, ReleaseChanged) else None)

    def say(text: str) -> None:
        said.append(text)
        bus.publish(Notified(session="s", text=text))
        bus.publish(Transcript(session="s", turn=1, role="assistant", text=text, final=True, heard=text))

    board.slots().end(report())
    for _ in range(3):
        daemon = SystemNews(board.slots(), tmp_path, bus, say)
        if (news := daemon.news()) is not None:
            daemon.tell(news)
    assert [(event.what, event.state, event.to) for event in told] == [("system", "updated", "2")]
    assert said == ["My system has been updated."]


@pytest.mark.parametrize(
    ("outcome", "reason", "said"),
    [
        ("stepped_back", DID_NOT_START, "went back to the one before"),
        ("stepped_back", NOT_WRITTEN, "was cut off"),
        ("refused", "signature verification failed", ""),
    ],
)
def test_what_is_said_aloud_is_what_happened(outcome, reason, said):
    text = spoken(report(outcome, reason))
    assert said in text
    assert bool(text) == bool(said)


def test_status_says_which_system_runs_and_what_waits(board):
    assert status(board)["slot"] == "A"
    trial = SlotTrial("id", "B", "2", "1", boot="boot-1", installed=True)
    board.slots().begin(trial)
    assert slot_sentence(status(board)) == ("system 1 runs in slot A; 2 is written, and waits for a restart")
    board.write("2", "well")
    board.power_on()
    assert slot_sentence(status(board)) == "system 2 runs in slot B, and is being tried"
    board.slots().end(report("stepped_back", "sip: refused"))
    remedy = "journalctl -u handset-slot -u rauc"
    assert slot_finding(board.slots()) == ("warning", "2 in slot B; 2 was taken back: sip: refused", remedy)
    assert "2 was taken back: sip: refused" in slot_sentence(status(board))


def test_a_system_without_slots_says_nothing_of_them(board, tmp_path):
    board.places.command_line.write_text("ro quiet\n")
    assert slot_status(board.slots()) is None
    assert SystemNews(board.slots(), tmp_path, EventBus(), print).status() is None


def test_a_trial_that_cannot_be_read_is_none(board):
    board.places.trial.write_text('{"id": "x", "colour": "red"}')
    assert board.slots().trial() is None
    board.places.trial.write_text("{")
    assert board.slots().trial() is None
