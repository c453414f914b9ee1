"""What the control port answers to plain HTTP. Pure: a request's facts in, a page out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Final

from appliance.health import Health

API: Final = "/v1"
_ASSETS: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/kiosk.css": ("kiosk.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/telephone.js": ("telephone.js", "text/javascript; charset=utf-8"),
    "/kiosk.js": ("kiosk.js", "text/javascript; charset=utf-8"),
}
_PLAIN: Final = "text/plain; charset=utf-8"
_SAFETY: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP answer; `headers` are all but Date, Server, Connection and Content-Length."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def page(method: str, path: str, health: Health, authorized: Callable[[], bool]) -> Page:
    """The answer to a request that is not for the WebSocket. `authorized` is asked only where a token may be needed."""
    where = path.partition("?")[0]
    if where not in _ASSETS and where not in _REPORTS and where != API:
        return _page(404, "there is nothing here; try / or /health\n")
    if method not in ("GET", "HEAD"):
        return _page(
            405,
            "only GET and HEAD are answered here; commands go over the WebSocket /v1\n",
            allow="GET, HEAD",
        )
    if where == API:
        return _page(426, "this is a WebSocket; see docs/control-api.md\n", upgrade="websocket")
    if where in _ASSETS:
        name, kind = _ASSETS[where]
        return Page(200, _asset(name), {"Content-Type": kind, **_SAFETY})
    if where in _GUARDED and not authorized():
        return _page(401, "a token is needed: Authorization: Bearer T\n", www_authenticate="Bearer")
    return _REPORTS[where](health)


def _ready(health: Health) -> Page:
    reasons = health.reasons()
    return _page(503, "".join(f"{reason}\n" for reason in reasons)) if reasons else _page(200, "ready\n")


def _health(health: Health) -> Page:
    return _page(200, json.dumps(health.report(), indent=1) + "\n", content_type="application/json")


def _metrics(health: Health) -> Page:
    return _page(200, health.prometheus(), content_type="text/plain; version=0.0.4; charset=utf-8")


_REPORTS: Final[Mapping[str, Callable[[Health], Page]]] = {
    "/live": lambda _: _page(200, "alive\n"),
    "/ready": _ready,
    "/health": _health,
    "/metrics": _metrics,
}
_GUARDED: Final = frozenset({"/health", "/metrics"})


def _page(status: int, text: str, **headers: str) -> Page:
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Page(status, text.encode(), {"Content-Type": _PLAIN, **_SAFETY, **named})


@cache
def _asset(name: str) -> bytes:
    return (files("appliance.control") / "web" / name).read_bytes()
