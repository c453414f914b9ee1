import importlib.util
import logging
import socket

import pytest

from appliance.service import Notifier, find_manager, watchdog_seconds

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("systemd") is None,
    reason="systemd's Python module is not installed (python3-systemd)",
)


@pytest.fixture
def notify_socket(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


@needs_library
def test_systemd_reads_what_it_is_told_in_one_message_each(notify_socket):
    notifier = find_manager()
    notifier.ready()
    notifier.status("ready, but for room:\nno device yet")
    notifier.feed()
    assert notify_socket.recv(4096).startswith(b"READY=1\nMAINPID=")
    assert notify_socket.recv(4096) == b"STATUS=ready, but for room: no device yet"
    assert notify_socket.recv(4096) == b"WATCHDOG=1"


@needs_library
def test_a_service_manager_that_has_gone_is_no_reason_to_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nowhere"))
    find_manager().ready()


def test_without_a_service_manager_nothing_is_told_and_nothing_is_to_be_fed():
    notifier = find_manager({"WATCHDOG_USEC": "30000000"})
    notifier.ready()
    assert notifier.watchdog == 0
    assert Notifier(None, 30.0).watchdog == 0


def test_a_service_manager_without_its_library_is_told_in_the_log(monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "systemd", None)
    monkeypatch.delitem(__import__("sys").modules, "drivers.notify_systemd", raising=False)
    with caplog.at_level(logging.ERROR):
        notifier = find_manager({"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "30000000"})
    assert notifier.watchdog == 0
    assert "python3-systemd" in caplog.text


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_ours_only_where_it_names_us(environ, seconds):
    assert watchdog_seconds(environ, pid=7) == seconds
