"""Google's SDK: imported, its client built, and what it raises when it dials."""

from typing import TYPE_CHECKING, Any, Final

from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance import gemini_faults
from appliance.errors import ApplianceError, ProviderUnavailable, SetupRejected
from appliance.interfaces import Setup, ToolDeclaration
from appliance.link_faults import unreachable, unreadable
from appliance.loading import library
from appliance.providers.realtime.gemini.connection import CLOSE_SECONDS, close_of
from appliance.providers.realtime.gemini.settings import Settings
from appliance.providers.realtime.gemini.setup import live_config

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import LiveConnectConfig

MESSAGE_BOUND: Final = 16 * 1024 * 1024
_SOCKET: Final = {
    # Pings are our own: with the socket's, a pong behind a second of audio would count as a dead path.
    "ping_interval": None,
    "max_size": MESSAGE_BOUND,
    "compression": None,
    "close_timeout": CLOSE_SECONDS,
    "open_timeout": None,
}
_ANY_TOOL: Final = (ToolDeclaration("any", "", {"type": "object"}),)
_OF_A_HANDLE: Final = frozenset({SetupRejected, ProviderUnavailable})
"""What may go with the handle: not a refused key, nor a limit."""


class HandleRefused(Exception):
    """The service does not take the handle; it may take a fresh session."""


def built(key: str, base_url: str) -> "Client":
    """Import the SDK and build its client: seconds on a small device, so never on the loop."""
    with library("google-genai"):
        from google import genai
        from google.genai import types
    options = types.HttpOptions(base_url=base_url or None, async_client_args=dict(_SOCKET))
    # Said outright, a stray GOOGLE_GENAI_USE_VERTEXAI or GOOGLE_GENAI_USE_ENTERPRISE turns nothing over.
    try:
        client = genai.Client(vertexai=False, api_key=key, http_options=options)
    except OSError as fault:
        raise unreadable("gemini", fault) from fault
    if base_url.startswith("http://"):
        _without_tls(client, base_url)
    # The SDK's models are built when they are first used: here, rather than on the loop while somebody waits.
    types.LiveConnectConfig(**live_config(Settings(), Setup("", tools=_ANY_TOOL), handle="")).model_dump()
    types.LiveServerMessage.model_validate({"setupComplete": {}})
    return client


def _without_tls(client: "Client", base_url: str) -> None:
    """The SDK makes wss of any address; a server of one's own may have no certificate."""
    api: Any = client._api_client  # noqa: SLF001 # there is no setting for it
    if not hasattr(api, "_websocket_base_url") or not hasattr(api, "_websocket_ssl_ctx"):
        raise SetupRejected("this google-genai cannot do without TLS", hint="write base_url with https://")
    api._websocket_ssl_ctx = dict(_SOCKET)  # noqa: SLF001
    api._websocket_base_url = lambda _=None: "ws" + base_url.removeprefix("http")  # noqa: SLF001


def checked(config: dict[str, Any]) -> "LiveConnectConfig":
    """As the SDK's own. Raise SetupRejected where it is none: what fails after that came from the service."""
    from google.genai import types

    try:
        return types.LiveConnectConfig(**config)
    except ValueError as fault:
        raise SetupRejected("gemini: the SDK does not take the settings") from fault


def translated(fault: Exception, where: str, *, handle: bool) -> ApplianceError | HandleRefused:
    """What a dial or set-up raised; with `handle` it may be that alone which is refused. `where` is the host."""
    from google.genai.errors import APIError

    if isinstance(fault, APIError | ConnectionClosed):
        code, reason = close_of(fault)
        meant = gemini_faults.closed(code, reason, in_setup=True)
        if handle and code in gemini_faults.HANDLE_CODES and type(meant) in _OF_A_HANDLE:
            return HandleRefused(str(code))
        return meant
    if isinstance(fault, InvalidStatus):
        response = fault.response
        body = bytes(response.body or b"")
        meaning = gemini_faults.refused(response.status_code, response.headers, body)
        if meaning is not None:
            return meaning
    if type(fault) is ValueError and not isinstance(fault.__context__, ValueError):
        return SetupRejected("gemini: the SDK does not let a setting through")
    if isinstance(fault, ValueError | TypeError) and not isinstance(fault, OSError):
        return ProviderUnavailable(f"gemini: its first message makes no sense ({type(fault).__name__})")
    return unreachable("gemini", where, fault)
