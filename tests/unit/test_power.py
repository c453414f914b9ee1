"""A power supply that is too weak is told once, shown while it lasts, and survived."""

from pathlib import Path

import pytest

from appliance import power
from appliance.bus import EventBus
from appliance.config.schema import Configuration
from appliance.doctor import CHECKS
from appliance.events import Event, PowerChanged, Warned
from appliance.health import Health
from appliance.power import CALM_SECONDS, Power, Supply, fell, find


class Board:
    """A board's sensors as the kernel shows them, and a watch over them whose clock the test turns."""

    def __init__(self, sensors: Path) -> None:
        self.alarm = sensors / "hwmon1/in0_lcrit_alarm"
        self.alarm.parent.mkdir(parents=True)
        self.alarm.with_name("name").write_text("rpi_volt\n")
        self.falls(False)
        self.events: list[Event] = []
        self.health = Health()
        bus = EventBus()
        bus.listen(self.events.append)
        self.at = 0.0
        found = find(sensors)
        assert found is not None
        self.power = Power(found, bus, self.health.part("power", required=False), lambda: self.at)
        self.health.count("power", self.power.counters)

    def falls(self, low: bool) -> None:
        self.alarm.write_text(f"{low:d}\n")

    def look(self, at: float) -> None:
        self.at = at
        self.power.look()

    def told(self) -> list[str]:
        return [
            event.code if isinstance(event, Warned) else event.state
            for event in self.events
            if isinstance(event, Warned | PowerChanged)
        ]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    cpu = tmp_path / "hwmon0"
    cpu.mkdir()
    (cpu / "name").write_text("cpu_thermal\n")
    return Board(tmp_path)


def test_falls_that_come_in_crowds_are_told_once_with_what_helps(board: Board):
    for at in range(0, 120, 3):
        board.falls(at % 2 == 1)
        board.look(float(at))
    assert board.told() == ["undervoltage", "low"]
    assert "supply" in next(event.hint for event in board.events if isinstance(event, Warned))
    assert board.power.status()["falls"] == 20
    part = board.health.report()["parts"]["power"]
    assert (part["ok"], part["required"], bool(part["hint"])) == (False, False, True)
    assert board.health.ready()
    assert "handset_power_falls_total 20.0" in board.health.prometheus()


def test_after_ten_minutes_without_one_it_is_fine_and_the_next_is_told_anew(board: Board):
    board.falls(True)
    board.look(1.0)
    board.falls(False)
    board.look(CALM_SECONDS)
    assert board.told() == ["undervoltage", "low"]
    board.look(CALM_SECONDS + 2.0)
    assert board.told()[2:] == ["fine"]
    assert board.health.report()["parts"]["power"]["ok"]
    board.falls(True)
    board.look(CALM_SECONDS + 3.0)
    assert board.told()[3:] == ["undervoltage", "low"]


def test_one_fall_that_lasts_is_one():
    supply = Supply()
    changes = [supply.look(True, float(at)) for at in range(1000)]
    assert (changes.count(True), changes.count(False), supply.falls) == (1, 0, 1)


def test_a_machine_that_says_nothing_of_its_supply_is_let_be(tmp_path: Path, board: Board):
    assert find(tmp_path / "nowhere") is None
    board.alarm.unlink()
    assert find(tmp_path) is None
    assert fell(board.alarm) is None
    board.look(1.0)
    assert board.told() == []


def test_a_supply_that_fell_does_not_count_as_mended_because_nothing_is_told_of_it(board: Board):
    board.falls(True)
    board.look(1.0)
    board.alarm.unlink()
    board.look(2 * CALM_SECONDS)
    assert board.power.status()["state"] == "low"
    board.falls(False)
    board.look(2 * CALM_SECONDS + 1.0)
    assert board.told() == ["undervoltage", "low", "fine"]


@pytest.mark.parametrize(("low", "state"), [(True, "failed"), (False, "ok")])
def test_doctor_looks_at_it_too(board: Board, monkeypatch: pytest.MonkeyPatch, low: bool, state: str):
    board.falls(low)
    monkeypatch.setattr(power, "find", lambda: board.alarm)
    [check] = [check for check in CHECKS if check.__name__ == "_voltage"]
    (finding,) = check(Configuration())
    assert finding.state == state
