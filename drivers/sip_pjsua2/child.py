# SPDX-License-Identifier: GPL-2.0-or-later
"""The SIP process: `python -m drivers.sip_pjsua2.child FD`, where FD is its end of a socket pair.

It ends when told to, when Handset's end closes, or when Handset says nothing for `parent_timeout` seconds.
`--report` prints what the library can do.
"""

import faulthandler
import gc
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from drivers.sip_pjsua2 import priority, wire
from drivers.sip_pjsua2.channel import Channel, adopt
from drivers.sip_pjsua2.endpoint import Endpoint
from drivers.sip_pjsua2.fault import Unusable
from drivers.sip_pjsua2.process import GAVE_UP, GROUP_SIGNALS
from drivers.sip_pjsua2.settings import Settings, accounts_from, from_message
from drivers.sip_pjsua2.switchboard import Switchboard

logger = logging.getLogger("sip")

BEAT: Final = 0.25
TICK: Final = 0.5
TURN_MS: Final = 5
STEADY_TURN_MS: Final = 20
IDLE_TURN_MS: Final = 50
"""How long the library waits for a packet, which it takes at once, before commands are looked at: while a call
begins or ends, while all are under way, and without one."""
LOOK_AROUND: Final = 1.0
CONFIGURE_WAIT: Final = 5.0
CLOSING_TIME: Final = 5.0
STALLED: Final = 1.0
"""A turn that took so long: the machine stood still, and what Handset said meanwhile may not have been read yet."""


class SipProcess:
    """One main loop: commands, the library's events, heartbeats."""

    def __init__(self, descriptor: int) -> None:
        self._channel = Channel(adopt(descriptor), self._audio)
        self._endpoint: Endpoint | None = None
        self._settings = Settings()
        self._stop = self._asked = False
        """`_asked`: Handset wants it."""
        self._awake_since = 0.0
        self._audio_lost = 0
        self._ignored = 0

    def run(self) -> int:
        """Return the exit code."""
        self._channel.start()
        try:
            self._configure()
            endpoint = self._endpoint
            if endpoint is None:
                return 0
            gc.collect()
            gc.freeze()
            priority.take()
            self._channel.send({"type": "ready", "address": endpoint.address, "pid": os.getpid()})
            endpoint.register()
            self._loop(endpoint)
        except Unusable as error:
            body = {
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
                "retryable": error.retryable,
            }
            self._channel.send({"type": "fatal", **body})
            return 3
        if not self._stop:
            logger.warning("Handset is gone, or reads nothing")
        _leave_in(CLOSING_TIME)
        endpoint.close()
        return 0 if self._asked else GAVE_UP

    def _configure(self) -> None:
        deadline = time.monotonic() + CONFIGURE_WAIT
        while time.monotonic() < deadline and not self._channel.closed.is_set():
            for body in self._channel.commands():
                if body["type"] == "stop":
                    self._stop = True
                elif body["type"] == "configure":
                    self._settings = from_message(body)
                    self._endpoint = Endpoint(self._settings, self._channel.send, self._channel.send_audio)
            if self._endpoint is not None or self._stop:
                return
            time.sleep(0.002)

    def _loop(self, endpoint: Endpoint) -> None:
        next_beat = next_tick = 0.0
        now = time.monotonic()
        next_look = now + LOOK_AROUND
        while not self._stop and not self._channel.closed.is_set():
            for body in self._channel.commands():
                self._command(endpoint, body)
            endpoint.turn(_turn_ms(endpoint.board))
            if endpoint.board.bury():
                gc.collect()
            before, now = now, time.monotonic()
            if now - before > STALLED:
                self._awake_since = now
            if now >= next_beat:
                next_beat = now + BEAT
                self._channel.send({"type": "beat", "counters": self._counters(endpoint)})
            if now >= next_tick:
                next_tick = now + TICK
                endpoint.tick(now)
                self._tell_of_strangers(endpoint)
            if now >= next_look:
                next_look = now + LOOK_AROUND
                self._look_around(endpoint, now)
            self._channel.flush()

    def _command(self, endpoint: Endpoint, body: Mapping[str, Any]) -> None:
        if body["type"] == "stop":
            self._stop = self._asked = True
        elif body["type"] == "listen_to":
            endpoint.screen.admit(str(network) for network in body["networks"])
        elif body["type"] == "bar":
            numbers = None if body["all"] else frozenset(map(str, body["numbers"]))
            endpoint.board.barred = (str(body["day"]), numbers)
        elif body["type"] == "accounts":
            endpoint.renew(accounts_from(body))
        elif body["type"] != "beat":
            endpoint.board.command(body)

    def _look_around(self, endpoint: Endpoint, now: float) -> None:
        if now - max(self._channel.heard_at, self._awake_since) > self._settings.parent_timeout:
            logger.warning("Handset has said nothing for %.0f s", self._settings.parent_timeout)
            self._stop = True
        elif endpoint.moved():
            raise Unusable("address_changed", "the address of this machine changed")
        else:
            endpoint.follow()

    def _tell_of_strangers(self, endpoint: Endpoint) -> None:
        ignored = endpoint.screen.ignored
        if ignored > self._ignored:
            self._ignored = ignored
            self._channel.send({"type": "strangers", "ignored": ignored})

    def _counters(self, endpoint: Endpoint) -> dict[str, int]:
        return {
            "strangers_ignored": endpoint.screen.ignored,
            "strangers_screened": int(endpoint.screening),
            **endpoint.board.counters(),
            "audio_dropped": self._channel.audio_dropped,
            "audio_late": self._audio_lost,
            "malformed": self._channel.malformed,
            "rss_kb": _resident_kb(),
        }

    def _audio(self, message: wire.Audio) -> None:
        """Socket thread."""
        endpoint = self._endpoint
        port = endpoint.pool.find(message.call) if endpoint else None
        if port is None or not port.push(message.stream, message.pcm):
            self._audio_lost += 1


def _turn_ms(board: Switchboard) -> int:
    if board.empty():
        return IDLE_TURN_MS
    return STEADY_TURN_MS if board.steady() else TURN_MS


def _resident_kb() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize() // 1024


def _leave_in(seconds: float) -> None:
    """The library's shut-down can hang: then end anyway."""
    timer = threading.Timer(seconds, os._exit, args=(4,))
    timer.daemon = True
    timer.start()


def main(arguments: list[str]) -> int:
    if arguments == ["--report"]:
        from drivers.sip_pjsua2.report import library_report

        print(json.dumps(library_report()), flush=True)
        return 0
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # They were blocked until here (process.py); Handset decides when we end.
    for ending in GROUP_SIGNALS:
        signal.signal(ending, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    sys.setswitchinterval(0.0005)
    # The collector must not run on the clock thread: it would destroy the library's objects there.
    gc.disable()
    return SipProcess(int(arguments[0])).run()


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except BaseException:  # noqa: BLE001  # whatever it is, the interpreter's own clean-up would be worse
        traceback.print_exc()
        code = 70
    sys.stderr.flush()
    # Not sys.exit: the interpreter's clean-up destroys the library's objects in any order, and aborts or hangs.
    os._exit(code)
