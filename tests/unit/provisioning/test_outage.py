"""A day without a network: the appliance can be set up all the time, and does not talk about it all the time."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.interfaces.network import FoundNetwork, NetworkStatus
from provisioning.effects import Effects
from provisioning.hotspot import LATER_SECONDS, Sayings
from provisioning.portal.visit import TOLD, Visit

DAY = 86_400
STEP = 20


class DeadAir:
    """A radio that knows a network which is not there."""

    def __init__(self) -> None:
        self.online = False
        self.code = ""
        self.codes: list[str] = []

    def status(self) -> NetworkStatus:
        return NetworkStatus(self.online, radio=True, known=True)

    def scan(self) -> Sequence[FoundNetwork]:
        return ()

    def open_hotspot(self, ssid: str, password: str) -> str:
        assert ssid
        self.code = password
        self.codes.append(password)
        return "10.42.0.1"

    def close_hotspot(self) -> None:
        self.code = ""

    def provisioning_server(self) -> str:
        return ""

    def reload(self) -> None:
        return


class Page:
    def __init__(self, *_: object) -> None:
        return

    def close(self) -> None:
        return


class House:
    """One in which time passes; `said` is what the daemon would say aloud, with its second."""

    def __init__(self, root: Path) -> None:
        self.air = DeadAir()
        self.visit = Visit(self.air, Effects(root, lambda _: None), 0.0, Page)
        self.said: list[tuple[int, str]] = []
        self.open_seconds = 0
        self._left = root / str(TOLD).lstrip("/")
        self._last: Any = None
        self._at = 0

    def wait(self, seconds: int) -> None:
        for _ in range(seconds // STEP):
            self._at += STEP
            self.visit.step(float(self._at))
            told = json.loads(self._left.read_text()) if self._left.exists() else {}
            self.open_seconds += STEP * bool(told.get("waiting"))
            if told and told["at"] != self._last:
                self._last = told["at"]
                self.said.append((self._at, told["sentence"]))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    found.visit.close()


@pytest.mark.slow
def test_in_a_day_without_a_network_the_invitation_is_said_a_handful_of_times(house: House):
    house.wait(DAY)
    assert 4 <= len(house.said) <= 6
    assert house.said[0][0] <= 60
    pauses = [later[0] - earlier[0] for earlier, later in zip(house.said, house.said[1:], strict=False)]
    assert all(pause >= 3600 for pause in pauses)
    assert pauses == sorted(pauses)
    # What was said at first opens it all that day; and the networks that are known are tried.
    assert len(set(house.air.codes)) == 1
    assert " ".join(house.air.code or house.air.codes[0]) in house.said[0][1]
    assert len(house.air.codes) > 100
    assert house.open_seconds > 0.8 * DAY


def test_after_a_network_was_there_the_next_outage_has_a_password_of_its_own_and_is_told(house: House):
    house.wait(7200)
    house.air.online = True
    house.wait(600)
    before = len(house.said)
    house.air.online = False
    house.wait(int(LATER_SECONDS) + 60)
    assert house.air.codes[-1] != house.air.codes[0]
    assert len(house.said) == before + 1


def test_news_is_said_whenever_it_comes():
    sayings = Sayings()
    assert sayings.due(0.0)
    assert not sayings.due(600.0)
    assert sayings.due(700.0, news=True)
    assert not sayings.due(1300.0)
    assert not sayings.due(3600.0)
