"""Where the telephone is registered: what the registrar said last, told on the bus where it is new."""

import logging
from typing import Any

from appliance.events import EventBus, RegistrationChanged, Warned
from appliance.interfaces import RegistrationReport

logger = logging.getLogger(__name__)


class Registration:
    """`state` is as the control API shows it: state, code, reason, server."""

    def __init__(self, server: str, bus: EventBus) -> None:
        self._bus = bus
        self._wanted = bool(server)
        self.state: dict[str, Any] = {"state": "off", "code": 0, "reason": "", "server": server}

    def missing(self) -> str:
        """Why calls through the server cannot be taken or made; empty when they can, or when there is no server."""
        if not self._wanted or self.state["state"] == "registered":
            return ""
        code, reason = self.state["code"], self.state["reason"]
        return f"not registered: {self.state['state']} {code or ''} {reason}".strip()

    def take(self, report: RegistrationReport) -> None:
        seen = {"state": report.state, "code": report.code, "reason": report.reason, "server": report.server}
        if seen == self.state:
            return
        self.state = seen
        logger.info("registration %s %d", report.state, report.code)
        self._bus.publish(
            RegistrationChanged(
                state=report.state, code=report.code, reason=report.reason, server=report.server
            )
        )
        if report.state == "failed":
            hint = (
                "check sip.user, sip.auth_user and sip.password"
                if report.code in (401, 403, 407)
                else "check sip.server"
            )
            self._bus.publish(
                Warned(code="registration_failed", message=f"{report.code} {report.reason}", hint=hint)
            )
