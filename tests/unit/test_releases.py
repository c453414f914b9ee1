"""What became of an update is told once, as it was."""

import pytest

from appliance.bus import EventBus
from appliance.errors import NotPossible
from appliance.events import Event, Notified, ReleaseChanged, Transcript
from appliance.releases import ReleaseNews, sentence
from provisioning.release.places import Places
from provisioning.release.trial import CUT_OFF, Releases, Report


class Hearth:
    """A state directory, a place for releases, and who is told."""

    def __init__(self, directory):
        self.releases = Releases(Places(directory / "opt", directory / "factory"))
        self.releases.places.root.mkdir()
        self.state = directory / "state"
        self.state.mkdir()
        self.said: list[str] = []
        self.deaf = False
        self.sounds = True
        self.told: list[Event] = []

    def daemon(self):
        """What a start of the daemon makes."""
        bus = self.bus = EventBus()
        bus.listen(lambda event: self.told.append(event) if isinstance(event, ReleaseChanged) else None)
        return ReleaseNews(self.releases, self.state, bus, self.say, "0.2.0")

    def say(self, text):
        if self.deaf:
            raise NotPossible("there is no room")
        self.said.append(text)
        about = {"session": "s", "line": "room", "text": text}
        self.bus.publish(Notified(**about))
        if self.sounds:
            self.bus.publish(Transcript(**about, turn=1, role="assistant", final=True, heard=text))

    def look(self, daemon):
        if (report := daemon.news()) is not None:
            daemon.tell(report)


@pytest.fixture
def hearth(tmp_path):
    return Hearth(tmp_path)


def report(outcome="updated", reason="", version="0.2.0"):
    return Report("7f", outcome, version, "0.1.0", reason, 1000.0)


def test_an_update_is_told_once_over_all_restarts(hearth):
    hearth.look(hearth.daemon())
    assert not hearth.told
    hearth.releases.refuse(report())
    first = hearth.daemon()
    for _ in range(3):
        hearth.look(first)
    second = hearth.daemon()
    hearth.look(second)
    [event] = hearth.told
    assert isinstance(event, ReleaseChanged)
    assert (event.from_, event.to, event.state) == ("0.1.0", "0.2.0", "updated")
    assert hearth.said == ["I have been updated to version 0 point 2 point 0."]
    assert second.status()["last"]["outcome"] == "updated"


def test_what_did_not_sound_is_said_again_after_a_restart_and_the_event_comes_once(hearth):
    hearth.releases.refuse(report())
    hearth.sounds = False
    hearth.look(hearth.daemon())
    hearth.sounds = True
    for _ in range(2):
        hearth.look(hearth.daemon())
    assert len(hearth.told) == 1
    assert len(hearth.said) == 2


def test_what_was_told_is_for_the_owner_alone(hearth):
    hearth.releases.refuse(report())
    hearth.look(hearth.daemon())
    assert (hearth.state / "update.json").stat().st_mode & 0o077 == 0


def test_a_room_that_cannot_be_told_costs_nobody_the_event(hearth):
    hearth.releases.refuse(report())
    hearth.deaf = True
    hearth.look(hearth.daemon())
    assert len(hearth.told) == 1


@pytest.mark.parametrize(
    ("became", "said"),
    [
        (
            report("stepped_back", "it ended by itself"),
            "did not work here, so I went back to version 0 point 1",
        ),
        (report("stepped_back", CUT_OFF), "was cut off, so I went back"),
        (report("refused", "the signature"), ""),
        (report("stepped_back", "lost", version=""), ""),
    ],
)
def test_the_truth_is_told(became, said):
    told = sentence(became)
    assert said in told
    assert bool(told) == bool(said)


@pytest.mark.parametrize("rubbish", ["", "[]", "{}", '{"id": 1}'])
def test_a_report_that_cannot_be_read_is_no_news(hearth, rubbish):
    hearth.releases.places.report.write_text(rubbish)
    hearth.look(hearth.daemon())
    assert not hearth.told
