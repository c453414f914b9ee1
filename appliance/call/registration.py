"""Where the telephone is registered: what each registrar said last, told on the bus where it is new."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from appliance.bus import EventBus
from appliance.config.accounts import without_password
from appliance.config.schema import Sip
from appliance.events import RegistrationChanged, Warned
from appliance.interfaces import RegistrationReport

logger = logging.getLogger(__name__)

_REMEDIES: Final[Mapping[int, str]] = {
    401: "check user, auth_user and password of the account",
    403: "check user, auth_user and password of the account, and whether the server lets it register",
    404: "check user of the account: the server does not know it",
    407: "check user, auth_user and password of the account",
    408: "check server and transport of the account, and the network",
    423: "set a longer expiry",
    503: "the server is overloaded, or cannot be reached: it is tried again when it says so",
}


def remedy(states: Iterable[Mapping[str, Any]]) -> str:
    """What may help the first account that failed; empty where none did."""
    return next((state["hint"] for state in states if state["hint"]), "")


class Registrations:
    """All accounts. `servers` maps their names to their servers, empty where there is none to register at."""

    def __init__(self, servers: Mapping[str, str], bus: EventBus) -> None:
        self._bus = bus
        self._states: dict[str, dict[str, Any]] = {}
        self.set_servers(servers)

    def set_servers(self, servers: Mapping[str, str]) -> None:
        """Other accounts: those that stay keep what is known of them."""
        self._states = {
            name: self._states[name]
            if name in self._states and self._states[name]["server"] == server
            else {"account": name, "state": "off", "code": 0, "reason": "", "server": server, "hint": ""}
            for name, server in servers.items()
        }

    @property
    def first(self) -> dict[str, Any]:
        """The first account's, as the control API shows it: account, state, code, reason, server, hint."""
        return next(iter(self._states.values()))

    def all(self) -> list[dict[str, Any]]:
        return list(self._states.values())

    def missing(self) -> str:
        """Why no call through any server can be taken or made; empty when one can, or when there is no server."""
        wanted = [state for state in self._states.values() if state["server"]]
        if not wanted or any(state["state"] == "registered" for state in wanted):
            return ""
        told = [f"{state['state']} {state['code'] or ''} {state['reason']}".split() for state in wanted]
        return "not registered: " + "; ".join(" ".join(words) for words in told)

    def doubt(self, settings: Sip) -> None:
        """Tell what will most likely fail, before it does."""
        for _, message, hint in without_password(settings):
            logger.warning("%s (%s)", message, hint)
            self._bus.publish(Warned(code="no_password", message=message, hint=hint))

    def take(self, report: RegistrationReport) -> None:
        if report.account not in self._states:
            return
        hint = report.hint
        if report.state == "failed" and not hint:
            hint = _REMEDIES.get(report.code, "check server, transport and outbound_proxy of the account")
        seen: dict[str, Any] = {
            "account": report.account,
            "state": report.state,
            "code": report.code,
            "reason": report.reason,
            "server": report.server,
            "hint": hint,
        }
        if seen == self._states[report.account]:
            return
        self._states[report.account] = seen
        if report.state == "failed":
            words = (report.account, report.code, report.reason, hint)
            logger.warning("registration of account %s: failed %d %s (%s)", *words)
        else:
            logger.info("registration of account %s: %s %d", report.account, report.state, report.code)
        self._bus.publish(RegistrationChanged(**seen))
        if report.state == "failed":
            message = f"account {report.account}: {report.code or ''} {report.reason}".replace("  ", " ")
            self._bus.publish(Warned(code="registration_failed", message=message, hint=hint))
