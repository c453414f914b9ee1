"""Our own network goes away when it is to, also where NetworkManager does not take note of it at first."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import NotPossible
from provisioning.draft import Draft
from provisioning.effects import Effects
from provisioning.hotspot import FIRST_SECONDS, JOIN_SECONDS
from provisioning.portal.visit import CLOSE_SECONDS, LOOK_SECONDS, TOLD, Visit
from provisioning.system import System, Wifi
from tests.unit.provisioning.test_outage import DeadAir, Page

OPEN_AT = FIRST_SECONDS


class BusyAir(DeadAir):
    """Refuses to close `busy` times, and counts how often it was asked."""

    def __init__(self, busy: int) -> None:
        super().__init__()
        self.busy = busy
        self.asked = 0

    def close_hotspot(self) -> None:
        self.asked += 1
        if self.busy:
            self.busy -= 1
            raise NotPossible("NetworkManager: Timeout was reached", hint="journalctl -u NetworkManager")
        super().close_hotspot()


class Form(Page):
    """Keeps whom it tells what was filled in."""

    taken: Callable[[Draft], None]

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        type(self).taken = staticmethod(about[-1])


class House:
    """A visit whose hotspot is open at OPEN_AT, and a network to be online with from then on."""

    def __init__(self, root: Path, busy: int) -> None:
        self.air = BusyAir(0)
        self.visit = Visit(self.air, Effects(root, lambda _: None), 0.0, Form)
        self.visit.step(OPEN_AT)
        assert self.air.code
        self.air.asked, self.air.busy = 0, busy
        self.air.online = True
        self.at = OPEN_AT
        self._told = root / TOLD.relative_to("/")

    def step(self) -> bool:
        self.at += LOOK_SECONDS
        return self.visit.step(self.at)

    def fill_in(self) -> None:
        Form.taken(Draft(system=System(networks=[Wifi("home", "long enough")])))

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads(self._told.read_text())) if self._told.exists() else {}


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[Any]:
    made: list[House] = []

    def house(busy: int) -> House:
        made.append(House(tmp_path, busy))
        return made[-1]

    yield house
    for one in made:
        one.air.busy = 0
        one.visit.close()


def test_one_that_is_closed_at_once_is_not_asked_for_again(houses):
    house = houses(0)
    assert house.step()
    assert (house.air.asked, house.air.code) == (1, "")


def test_it_is_tried_again_until_the_manager_takes_note(houses, capsys):
    house = houses(3)
    assert [house.step() for _ in range(4)] == [False, False, False, True]
    assert (house.air.asked, house.air.code, house.told) == (4, "", {})
    assert capsys.readouterr().out.count("not closed yet: NetworkManager: Timeout was reached") == 1


def test_after_a_minute_that_is_given_up_and_told(houses, capsys):
    house = houses(1000)
    steps = 0
    while not house.step():
        steps += 1
    assert steps == CLOSE_SECONDS / LOOK_SECONDS
    assert "could not be closed" in capsys.readouterr().out
    assert (house.told["ok"], house.told["sentence"]) == (
        False, "I could not close the Wi-Fi network that I am set up through."
    )  # fmt: skip


def test_the_next_run_tries_it_from_the_beginning(houses, tmp_path):
    house = houses(2)
    later = Visit(house.air, Effects(tmp_path, lambda _: None), 0.0, Page)
    later.sweep()
    assert house.air.code
    assert not later.step(LOOK_SECONDS)
    assert later.step(2 * LOOK_SECONDS)
    assert not house.air.code


@pytest.mark.slow
def test_a_network_that_is_to_be_joined_has_its_time_from_when_ours_is_closed(houses):
    house = houses(int(CLOSE_SECONDS / LOOK_SECONDS) - 5)
    house.air.online = False
    house.fill_in()
    while house.air.busy:
        house.step()
    closed = house.at
    house.step()
    while not house.air.code:
        house.step()
    assert house.at - closed >= JOIN_SECONDS
