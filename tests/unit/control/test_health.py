import asyncio
import re

import pytest

from appliance.health import Health
from appliance.service import Notifier
from tests.fakes.service_manager import FakeServiceManager

SAMPLE = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="(\\.|[^"\\\n])*",?)*\})? \S+$')
TYPE = re.compile(r"^# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge)$")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def parse(text):
    """Parse the Prometheus text format; a family's samples must follow its TYPE line, once."""
    values: dict[str, float] = {}
    families: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            assert TYPE.match(line), line
            families.append(line.split()[2])
        else:
            assert SAMPLE.match(line), line
            name, value = line.rsplit(" ", 1)
            assert name.partition("{")[0] == families[-1]
            values[name] = float(value)
    assert len(families) == len(set(families))
    return values


def test_it_is_ready_when_every_required_part_works():
    health = Health()
    assert health.ready()
    sip, doorbell = health.part("sip"), health.part("doorbell", required=False)
    assert health.reasons() == ["sip: starting"]
    sip.ok()
    doorbell.failing("no battery")
    assert health.ready()
    sip.failing("the registrar is silent")
    assert not health.ready()
    assert health.sentence() == "waiting for sip: the registrar is silent"
    health.remove("sip")
    assert health.sentence() == "ready, but for doorbell: no battery"


def test_a_heartbeat_that_is_overdue_is_named():
    clock = Clock()
    health = Health(clock)
    health.expect("audio", within=2.0)
    clock.now += 1.9
    assert health.stale() == []
    health.beat("audio")
    clock.now += 2.1
    assert health.stale() == ["audio"]
    assert health.report()["heartbeats"]["audio"]["fresh"] is False


def test_what_keeps_its_own_time_is_stale_when_it_says_so():
    health = Health()
    age = 1.0
    health.watch("capture", 20.0, lambda: age)
    assert health.stale() == []
    age = 21.0
    assert health.stale() == ["capture"]
    assert "no sign of life from capture" in health.sentence()
    assert parse(health.prometheus())['handset_heartbeat_age_seconds{name="capture"}'] == 21.0


def test_metrics_are_in_the_prometheus_text_format():
    health = Health()
    health.part('odd "name"\\ \n').ok()
    health.expect("sip", 1.0)
    leave = health.count("audio", lambda: {"overruns_total": 12_345_678, "backlog-ms": 2.5}, line="room")
    health.count("audio", lambda: {"overruns_total": float("nan")}, line="call-1")
    values = parse(health.prometheus())
    assert values['handset_audio_overruns_total{line="room"}'] == 12_345_678
    assert values['handset_audio_backlog_ms{line="room"}'] == 2.5
    assert values["handset_ready"] == 1
    assert health.counters()["audio.room.overruns_total"] == 12_345_678
    leave()
    assert 'line="room"' not in health.prometheus()


@pytest.mark.slow
async def test_the_watchdog_is_fed_only_while_hearts_beat():
    manager, clock = FakeServiceManager(), Clock()
    health = Health(clock)
    health.expect("audio", within=50.0)
    feeding = asyncio.create_task(health.run(Notifier(manager, watchdog=30.0)))
    await manager.until("STATUS=ready")
    clock.now += 10.0
    await manager.until("WATCHDOG=1")
    clock.now += 41.0
    await manager.until("STATUS=no sign of life from audio")
    manager.told.clear()
    clock.now += 1000.0
    health.beat("audio")
    await manager.until("WATCHDOG=1")
    await manager.until("STATUS=ready")
    feeding.cancel()


@pytest.mark.slow
async def test_the_lag_of_the_loop_is_measured():
    import time

    health = Health()
    beating = asyncio.create_task(health.run(Notifier()))
    await asyncio.sleep(0.01)
    time.sleep(0.4)  # noqa: ASYNC251 - this is the lag
    await asyncio.sleep(0.05)
    beating.cancel()
    assert health.loop_lag_max_ms > 100
