import asyncio
import contextlib
import re
import socket

from appliance.health import Health, Notifier

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
    assert health.sentence() == "ready"


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


async def test_the_service_manager_is_told_and_the_watchdog_fed_only_while_hearts_beat(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        clock = Clock()
        health = Health()
        beating = asyncio.create_task(health.run())
        Notifier().ready()
        await asyncio.sleep(0.8)
        told = _read(manager)
        health.expect("audio", within=0.0)
        await asyncio.sleep(0.3)
        _read(manager)
        await asyncio.sleep(0.6)
        told_later = _read(manager)
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating
    assert clock.now
    assert "READY=1" in told
    assert "STATUS=ready" in told
    assert "WATCHDOG=1" in told
    assert "WATCHDOG=1" not in told_later


def _read(manager):
    told: list[str] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            told += manager.recv(4096).decode().splitlines()
    return told


def test_without_a_service_manager_nothing_is_said():
    notifier = Notifier({})
    notifier.ready()
    assert notifier.watchdog == 0
    assert Notifier({"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "2000000"}).watchdog == 2.0
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready()
    Notifier({"NOTIFY_SOCKET": "@nowhere"}).stopping()


async def test_the_lag_of_the_loop_is_measured():
    import time

    health = Health()
    beating = asyncio.create_task(health.run())
    await asyncio.sleep(0.01)
    time.sleep(0.4)  # noqa: ASYNC251 - this is the lag
    await asyncio.sleep(0.05)
    beating.cancel()
    assert health.loop_lag_max_ms > 100
