"""Settings that were fetched come into force: only where they are others, and when nobody calls."""

import pytest

from appliance.errors import NotPossible
from provisioning.actions import Run
from provisioning.effects import Effects
from provisioning.fetch import WAIT_SECONDS
from provisioning.release.quiet import LATEST_SECONDS
from tests.rig.settings_server import MAC, Daemon, sip, take


class Machine:
    """A tree, with a TPM or without, whose programs are written down."""

    def __init__(self, box: Effects, *, tpm: bool) -> None:
        self.ran: list[Run] = []
        self.effects = Effects(box.root, self.ran.append)
        if tpm:
            (box.root / "sys/class/tpm/tpm0").mkdir(parents=True)
            drop_in = box.root / "usr/lib/systemd/system/handset.service.d/50-newer.conf"
            drop_in.parent.mkdir(parents=True)
            drop_in.touch()

    def count(self, program: str) -> int:
        return sum(run.command[0] == program for run in self.ran)


@pytest.fixture(params=[True, False], ids=["a TPM", "no TPM"])
def machine(request, box):
    return Machine(box, tpm=request.param)


TEXT = "[sip]\nserver = 'pbx.example.org'\nuser = '201'\npassword = 'hush-hush'\n"


def test_the_daemon_is_started_anew_once_for_new_settings(server, machine, trusting):
    server.files[f"/phones/{MAC}.toml"] = TEXT.encode()
    take(trusting, server.url, machine.effects)
    assert machine.count("systemctl") == 1
    assert "nothing new" in take(trusting, server.url, machine.effects)
    server.files[f"/phones/{MAC}.toml"] = TEXT.replace("201", "202").encode()
    take(trusting, server.url, machine.effects)
    assert machine.count("systemctl") == 2


def test_another_file_with_the_same_settings_changes_nothing(server, machine, trusting):
    """As servers write it that put the time of day into a comment."""
    server.files[f"/phones/{MAC}.toml"] = TEXT.encode()
    take(trusting, server.url, machine.effects)
    before, secrets = machine.count("systemctl"), machine.count("systemd-creds")
    written = (machine.effects.root / "etc/handset/conf.d/60-setup.toml").read_text()
    for stamp in ("# made at ten\n", "# made at eleven\n"):
        server.files[f"/phones/{MAC}.toml"] = (stamp + TEXT).encode()
        assert "the same settings" in take(trusting, server.url, machine.effects)
    assert (machine.count("systemctl"), machine.count("systemd-creds")) == (before, secrets)
    assert (machine.effects.root / "etc/handset/conf.d/60-setup.toml").read_text() == written
    assert "nothing new" in take(trusting, server.url, machine.effects)


def test_a_call_is_waited_for(server, machine, trusting):
    server.files[f"/phones/{MAC}.toml"] = TEXT.encode()
    daemon = Daemon()
    daemon.calls_until = daemon.time + WAIT_SECONDS / 2
    assert "in force" in take(trusting, server.url, machine.effects, daemon)
    assert daemon.time >= daemon.calls_until
    assert machine.count("systemctl") == 1


def test_a_long_call_is_ended_by_nothing_and_the_settings_come_into_force_after_it(server, machine, trusting):
    server.files[f"/phones/{MAC}.toml"] = TEXT.encode()
    daemon = Daemon()
    daemon.calls_until = daemon.time + 3600
    attempts = 0
    while daemon.time < daemon.calls_until - WAIT_SECONDS:
        with pytest.raises(NotPossible, match="a call or a conversation goes on"):
            take(trusting, server.url, machine.effects, daemon)
        daemon.time += 300
        attempts += 1
    assert (machine.count("systemctl"), sip(machine.effects)) == (0, ("pbx.example.org", "201"))
    assert machine.count("systemd-creds") <= 1 < attempts, "written once, however often it is tried"
    daemon.time = daemon.calls_until
    assert "nothing new" in take(trusting, server.url, machine.effects, daemon)
    assert machine.count("systemctl") == 1
    take(trusting, server.url, machine.effects, daemon)
    assert machine.count("systemctl") == 1


def put_off(server, machine, trusting) -> Daemon:
    """Settings were taken over while there is a call, and wait for its end, which never comes."""
    server.files[f"/phones/{MAC}.toml"] = TEXT.encode()
    daemon = Daemon(calls_until=float("inf"))
    with pytest.raises(NotPossible):
        take(trusting, server.url, machine.effects, daemon)
    return daemon


def test_a_call_that_never_ends_holds_settings_up_for_a_day(server, machine, trusting):
    daemon = put_off(server, machine, trusting)
    daemon.time += LATEST_SECONDS
    take(trusting, server.url, machine.effects, daemon)
    assert machine.count("systemctl") == 1


def test_a_server_that_is_away_keeps_nothing_from_being_in_force(server, machine, trusting):
    daemon = put_off(server, machine, trusting)
    daemon.calls_until = 0.0
    server.files.clear()
    with pytest.raises(NotPossible, match="no file"):
        take(trusting, server.url, machine.effects, daemon)
    assert machine.count("systemctl") == 1


def test_a_daemon_that_cannot_be_started_anew_is_told_and_started_at_the_next_attempt(server, box, trusting):
    server.files[f"/phones/{MAC}.toml"] = TEXT.encode()

    def fails(run: Run) -> None:
        raise NotPossible(f"{run.command[0]} failed: the bus is gone")

    with pytest.raises(NotPossible, match="systemctl failed"):
        take(trusting, server.url, Effects(box.root, fails))
    machine = Machine(box, tpm=False)
    assert "nothing new" in take(trusting, server.url, machine.effects)
    assert machine.count("systemctl") == 1
