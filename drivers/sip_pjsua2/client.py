# SPDX-License-Identifier: Apache-2.0
"""The telephone as Handset sees it: commands out, events in, 20 ms of audio each way.

The SIP process behind it may die at any time.
"""

import asyncio
import importlib.util
import json
import logging
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

from appliance.errors import DriverMissing, RequestInvalid, TelephoneUnavailable, UnknownName
from appliance.interfaces import (
    CallReport,
    CaptureSink,
    IncomingCall,
    NoticeReport,
    PlayoutSource,
    RegistrationReport,
    TelephoneEvent,
    TelephoneLost,
    TelephoneReady,
)
from drivers.sip_pjsua2 import address, process
from drivers.sip_pjsua2.audio import Routes
from drivers.sip_pjsua2.reports import read
from drivers.sip_pjsua2.settings import FIRST_ACCOUNT
from drivers.sip_pjsua2.supervisor import Down, Message, Supervisor, Timing, Up

logger = logging.getLogger(__name__)

RATE: Final = 16_000
_REMEDY: Final = "run: make pjsua2 (x86-64 with CPython 3.11 or 3.12 may use: pip install pjsua2-python)"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the telephone is down; `code` is stable."""

    code: str
    message: str
    hint: str = ""


class Pjsua2Telephone:
    """Implements interfaces.Telephone with PJSIP in a process of its own."""

    rate = RATE

    def __init__(self, settings: Mapping[str, Any], timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._configure = configure_message(settings, self._timing)
        self._servers = _servers(self._configure)
        self._routes = Routes(RATE)
        self._states: dict[str, str] = {}
        self._account_of: dict[str, str] = {}
        self._post: Callable[[TelephoneEvent], None] = _nowhere
        self._supervisor: Supervisor | None = None
        self._up = False
        self._child_counters: Mapping[str, int] = {}
        self._restarts = 0
        self._told = ""
        self._registered: dict[str, RegistrationReport] = {}
        self.fault: Fault | None = None

    async def start(self, post: Callable[[TelephoneEvent], None]) -> None:
        """Return at once; raise DriverMissing when there is no library. TelephoneReady follows."""
        if importlib.util.find_spec("pjsua2") is None:
            raise DriverMissing("the SIP library pjsua2 is not installed", hint=_REMEDY)
        self._post = post
        self._registrations("trying", "")
        self._supervisor = Supervisor(
            self._configure, self._routes, self._timing, asyncio.get_running_loop(), self._heard
        )
        self._supervisor.start()

    async def stop(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            await supervisor.stop()
        self._up = False
        self._lose("the telephone was stopped")

    def listen_to(self, networks: Sequence[str]) -> None:
        self._require_up()
        self._send({"type": "listen_to", "networks": list(networks)})

    def bar(self, day: str, numbers: Sequence[str] | None) -> None:
        self._require_up()
        self._send({"type": "bar", "day": day, "all": numbers is None, "numbers": list(numbers or ())})

    def renew(self, settings: Mapping[str, Any]) -> None:
        self._configure["accounts"] = configure_message(settings, self._timing)["accounts"]
        before, self._servers = self._servers, _servers(self._configure)
        for gone in [name for name in before if name not in self._servers]:
            self._registered.pop(gone, None)
        if self._up:
            self._send({"type": "accounts", "accounts": self._configure["accounts"]})

    def dial(self, to: str, *, account: str = "") -> str:
        name = address.account_for(to, account, self._servers)
        uri = address.dialled(to, self._servers[name])
        self._require_up()
        call = f"{secrets.randbits(32) or 1:08x}"
        self._states[call], self._account_of[call] = "dialing", name
        self._send({"type": "dial", "call": call, "to": str(uri), "account": name})
        return call

    def ring(self, call: str) -> None:
        self._command(call, "ring")

    def answer(self, call: str) -> None:
        self._command(call, "answer")

    def reject(self, call: str, code: int, reason: str = "") -> None:
        if not 300 <= code <= 699:
            raise RequestInvalid(f"{code} does not refuse a call", hint="SIP status codes 300 to 699 do")
        self._command(call, "reject", code=code, reason=_one_line(reason))

    def lock(self, call: str, on: bool) -> None:
        self._command(call, "lock", on=on)

    def hang_up(self, call: str) -> None:
        self._command(call, "hang_up")

    def hold(self, call: str) -> None:
        self._command(call, "hold")

    def resume(self, call: str) -> None:
        self._command(call, "resume")

    def transfer(self, call: str, to: str) -> None:
        self._require_call(call)
        server = self._servers.get(self._account_of.get(call, ""), "")
        self._command(call, "transfer", to=str(address.dialled(to, server)))

    def join(self, call: str, other: str) -> None:
        self._require_call(other)
        self._command(call, "join", other=other)

    def send_dtmf(self, call: str, digits: str) -> None:
        self._require_call(call)
        self._command(call, "dtmf", digits=address.tones(digits))

    def attach(self, call: str, capture: CaptureSink, playout: PlayoutSource) -> None:
        self._require_call(call)
        self._routes.attach(int(call, 16), capture, playout)

    def heard_lag_ms(self, call: str) -> float:
        return self._routes.lag_ms(int(call, 16)) if call in self._states else 0.0

    @property
    def silent_for(self) -> float:
        return self._supervisor.silent_for if self._supervisor is not None else 0.0

    def counters(self) -> Mapping[str, int]:
        return {
            **self._child_counters,
            **self._routes.counters(),
            "restarts": self._restarts,
            "calls_now": len(self._states),
        }

    @staticmethod
    def library_report() -> dict[str, Any]:
        """What `doctor` tells of the library; see the function of this name."""
        return library_report()

    def child_pid(self) -> int:
        """The SIP process, 0 while there is none."""
        return self._supervisor.pid if self._supervisor is not None else 0

    def _require_up(self) -> None:
        if self._supervisor is None or not self._up:
            fault = self.fault
            message = f"the telephone is down: {fault.message}" if fault else "the telephone is starting"
            raise TelephoneUnavailable(message, hint=fault.hint if fault else "try again in a moment")

    def _require_call(self, call: str) -> None:
        self._require_up()
        if call not in self._states:
            raise UnknownName(f"there is no call {call!r}", hint="it may have ended")

    def _command(self, call: str, name: str, **fields: object) -> None:
        self._require_call(call)
        self._send({"type": name, "call": call, **fields})

    def _send(self, body: Mapping[str, Any]) -> None:
        if self._supervisor is None or not self._supervisor.send(body):
            raise TelephoneUnavailable("the SIP process does not take commands", hint="it is being restarted")

    # --- what the supervisor hands to the loop

    def _heard(self, notice: Up | Down | Message) -> None:
        match notice:
            case Up(where):
                self._up, self.fault, self._told = True, None, ""
                self._post(TelephoneReady(where))
            case Down(code, message, hint, restarting):
                self._went_down(Fault(code, message, hint), restarting)
            case Message(body):
                self._message(body)

    def _went_down(self, fault: Fault, restarting: bool) -> None:
        self._up, self.fault = False, fault
        self._restarts += restarting
        if fault.message == self._told and not self._states:
            return  # said already: one attempt after the other fails alike
        self._told = fault.message
        self._lose(
            "; ".join(part for part in (f"{fault.code}: {fault.message}", fault.hint) if part), always=True
        )
        self._registrations("failed", fault.message, fault.hint)

    def _registrations(self, state: str, reason: str, hint: str = "") -> None:
        for name, server in self._servers.items():
            if server:
                self._registration(RegistrationReport(state, 0, reason, server, name, hint))

    def _registration(self, report: RegistrationReport) -> None:
        if report.account in self._servers and report != self._registered.get(report.account):
            self._registered[report.account] = report
            self._post(report)

    def _lose(self, reason: str, *, always: bool = False) -> None:
        calls = tuple(self._states)
        self._states.clear()
        self._account_of.clear()
        self._routes.clear()
        if calls or always:
            self._post(TelephoneLost(reason, calls))

    def _message(self, body: Mapping[str, Any]) -> None:
        if body["type"] == "beat":
            self._child_counters = body["counters"]
            return
        if body["type"] == "notice":
            logger.warning("call %s: %s", body["call"], body["text"])
            # and told, below
        if body["type"] == "refused":
            self._refused(body)
            return
        event = read(body)
        if event is None:
            logger.warning("unknown message from the SIP process: %s", body["type"])
            return
        if isinstance(event, RegistrationReport):
            self._registration(event)
            return
        if isinstance(event, IncomingCall):
            self._states[event.call], self._account_of[event.call] = "incoming", event.account
        elif isinstance(event, CallReport):
            if event.call not in self._states:
                return
            self._states[event.call] = event.state
            if event.state == "ended":
                del self._states[event.call]
                self._account_of.pop(event.call, None)
                self._routes.detach(int(event.call, 16))
        self._post(event)

    def _refused(self, body: Mapping[str, Any]) -> None:
        call = str(body["call"])
        if call in self._states:
            message = f"call {call}: {body['command']} was refused: {body['reason']}"
            self._post(NoticeReport(call, "call_command_refused", message, "the call is as it was"))


def configure_message(settings: Mapping[str, Any], timing: Timing) -> dict[str, Any]:
    """The SIP process's first message, from the `[sip]` section."""
    first, _, last = str(settings.get("rtp_ports") or "40000-40100").partition("-")
    further: Mapping[str, Mapping[str, Any]] = settings.get("accounts") or {}
    copied = (
        "port",
        "bind",
        "max_calls",
        "dtmf",
        "dscp_sip",
        "dscp_rtp",
        "force_old_tls",
        "strangers",
        "redirects",
    )
    return {
        "type": "configure",
        "accounts": [
            _account(FIRST_ACCOUNT, settings),
            *(_account(name, account) for name, account in further.items()),
        ],
        **{name: settings[name] for name in copied if name in settings},
        **{name: list(settings.get(name, ())) for name in ("codecs", "stun", "dns_servers", "allow")},
        **{name: list(settings[name]) for name in ("dial", "emergency_numbers") if name in settings},
        "rtp_first": int(first),
        "rtp_count": max(1, int(last or first) - int(first)),
        "user_agent": f"Handset/{_version()}",
        "keep_alive": timing.keep_alive,
        "media_silence": timing.media_silence,
        "come_back": timing.come_back,
        "media_timeout": timing.media_timeout,
        "parent_timeout": timing.parent_timeout,
        "answer_wait": timing.answer_wait,
    }


def _account(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    copied = (
        *("user", "auth_user", "display_name", "transport", "expiry", "srtp", "ca"),
        *("ice", "turn", "turn_user", "mailbox"),
    )
    return {
        "name": name,
        "server": str(settings.get("server", "")),
        **{key: settings[key] for key in copied if key in settings},
        **{key: _plain(settings.get(key, "")) for key in ("password", "turn_password")},
        "outbound_proxy": list(settings.get("outbound_proxy", ())),
    }


def _plain(secret: Any) -> str:
    reveal = getattr(secret, "get_secret_value", None)
    return reveal() if reveal else str(secret)


def _servers(configure: Mapping[str, Any]) -> dict[str, str]:
    """Each account's server, by the account's name."""
    return {account["name"]: account["server"] for account in configure["accounts"]}


def library_report() -> dict[str, Any]:
    """What the installed SIP library can do: version, max_calls, openssl, old_openssl, ipv6, opus, codecs.

    Blocks for under a second. Raise DriverMissing when there is none, or it does not run.
    """
    if importlib.util.find_spec("pjsua2") is None:
        raise DriverMissing("the SIP library pjsua2 is not installed", hint=_REMEDY)
    arguments, environment = process.command("--report")
    try:
        done = subprocess.run(arguments, env=environment, capture_output=True, timeout=15, check=True)
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise DriverMissing(f"the SIP library does not work: {error}", hint=_REMEDY) from error
    return report


def _version() -> str:
    try:
        return metadata.version("handset")
    except metadata.PackageNotFoundError:
        return "0"


def _one_line(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:128]


def _nowhere(event: TelephoneEvent) -> None:
    """Before `start` nobody listens."""
