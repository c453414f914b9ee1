"""The control server: one port for the WebSocket `/v1` and the HTTP pages."""

import asyncio
import email.utils
import errno
import http
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeader
from websockets.headers import parse_subprotocol
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from appliance.bus import EventBus
from appliance.config.schema import Control
from appliance.control import admission, protocol
from appliance.control.auth import Tokens
from appliance.control.client import Client, Leave
from appliance.control.commands import Commands
from appliance.control.limits import Limits, LoginLimit
from appliance.control.pages import API, Page, page
from appliance.control.ports import Actions, CallsPort, LinesPort, StorePort
from appliance.control.protocol import MESSAGE_BYTES, Close, Scope
from appliance.control.snapshot import Snapshot
from appliance.errors import ConfigurationInvalid, NotPossible
from appliance.events import AudioLevel, Event, MetricsMeasured
from appliance.health import Health

_log = logging.getLogger(__name__)
_SEND_BUFFER: Final = 128 * 1024
_HANDSHAKE_WITHIN: Final = 10.0
_METRICS_EVERY: Final = 1.0


class ControlServer:
    """Serves the appliance to clients. `start` raises ConfigurationInvalid or NotPossible; `stop` takes at most 4 s."""

    def __init__(
        self,
        settings: Control,
        bus: EventBus,
        lines: LinesPort[Any],
        calls: CallsPort | None,
        store: StorePort | None,
        health: Health,
        tokens: Tokens,
        actions: Actions,
        *,
        version: str = "",
        device: Mapping[str, Any] | None = None,
        providers: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._lines = lines
        self._health = health
        self._tokens = tokens
        self._version = version
        self._device = dict(device or {})
        self._limits = limits or Limits()
        self._logins = LoginLimit(self._limits)
        self._snapshot = Snapshot(lines, calls, health, providers, actions.panel, actions.facts)
        self._commands = Commands(lines, calls, store, actions, self._snapshot.take)
        self._clients: set[Client] = set()
        self._open: set[ServerConnection] = set()
        self._admitted: WeakKeyDictionary[ServerConnection, admission.Admission] = WeakKeyDictionary()
        self._server: Server | None = None
        self._opened = asyncio.Event()
        self._metrics: asyncio.Task[None] | None = None
        self._leave_bus: Callable[[], None] | None = None
        self._leave_levels: Callable[[], None] | None = None
        self._counted: dict[str, int] = {
            "clients_refused_total": 0,
            "events_dropped_total": 0,
            "audio_refused_total": 0,
        }

    async def start(self, first: Callable[[], Awaitable[None]] | None = None) -> None:
        """Listen, then do `first`, then serve clients: those that come early wait for it.

        So whatever `first` makes is only made once the port is ours.
        """
        tls = tls_context(self._settings)
        check_exposure(self._settings)
        self._server = await self._listen(tls)
        if first is not None:
            await first()
        self._opened.set()
        self._leave_bus = self._bus.listen(self._publish)
        self._metrics = asyncio.create_task(self._measure(), name="control metrics")
        self._health.count("control", self.counters)
        self._health.part("control").ok()

    async def stop(self) -> None:
        """Close every client with 1001 and stop listening."""
        if self._leave_bus is not None:
            self._leave_bus()
            self._leave_bus = None
        if self._metrics is not None:
            self._metrics.cancel()
            self._metrics = None
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        try:
            async with asyncio.timeout(self._limits.close_within):
                await server.wait_closed()
        except TimeoutError:
            for connection in tuple(self._open):
                connection.transport.abort()
            _log.warning("some clients did not close in time")

    @property
    def port(self) -> int:
        """The port that is listened on; with port 0 in the settings, the one that was given."""
        if self._server is None:
            return self._settings.port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def commands(self) -> Commands:
        """What the appliance does on command, for other doors than this one."""
        return self._commands

    def state(self) -> Mapping[str, Any]:
        """What the command `status` answers."""
        return self._snapshot.take()

    def wants(self, topic: str) -> bool:
        """True while any client is subscribed to `topic`."""
        return any(client.wants(topic) for client in self._clients)

    def counters(self) -> dict[str, int]:
        now = {"events_dropped_total": 0, "audio_refused_total": 0}
        for client in self._clients:
            now["events_dropped_total"] += client.outbox.dropped
            now["audio_refused_total"] += client.audio_refused
        return {
            "clients": len(self._clients),
            **{name: value + now.get(name, 0) for name, value in self._counted.items()},
        }

    async def _listen(self, tls: ssl.SSLContext | None) -> Server:
        quiet = logging.getLogger("websockets.control")
        # The library logs a traceback for every scanner that hangs up in mid-handshake.
        quiet.setLevel(logging.CRITICAL)
        try:
            return await serve(
                self._serve,
                self._settings.bind,
                self._settings.port,
                process_request=self._request,
                select_subprotocol=_subprotocol,
                compression=None,
                server_header="handset",
                open_timeout=_HANDSHAKE_WITHIN,
                ping_interval=None,
                close_timeout=self._limits.linger,
                max_size=MESSAGE_BYTES,
                logger=quiet,
                create_connection=_bounded(self._limits.connections),
                ssl=tls,
            )
        except OSError as error:
            where = f"{self._settings.bind} port {self._settings.port}"
            taken = error.errno == errno.EADDRINUSE
            hint = (
                "another daemon may be running; else choose another control.port"
                if taken
                else "check control.bind and control.port"
            )
            raise NotPossible(
                f"the control API cannot listen on {where}: {error.strerror or error}", hint=hint
            ) from error

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP, or return None to go on to the WebSocket."""
        hosts = request.headers.get_all("Host")
        upgrading = any("websocket" in value.lower() for value in request.headers.get_all("Upgrade"))
        if request.path.partition("?")[0] != API or not upgrading or request.method != "GET":
            return _response(
                request.method,
                page(request.method, request.path, self._health, lambda: self._may_read(connection, request)),
            )
        tls = bool(self._settings.tls_certificate)
        if not admission.origin_allowed(
            request.headers.get_all("Origin"), hosts, self._settings.origins, tls=tls
        ):
            self._counted["clients_refused_total"] += 1
            return connection.respond(
                http.HTTPStatus.FORBIDDEN, "this origin is not allowed; see control.origins\n"
            )
        self._admitted[connection] = self._admission(connection, request)
        return None

    def _admission(self, connection: ServerConnection, request: Request) -> admission.Admission:
        peer = _peer(connection)
        now = time.monotonic()
        token = admission.offered_token(request.headers.get_all("Authorization"), _offered(request))
        verdict = admission.admit(
            token, self._tokens, trusted=admission.is_trusted(peer, request.headers.get_all("Host"))
        )
        if verdict.guessed:
            # Only the wrong ones are held back: whoever else calls from that address must not pay for them.
            if self._logins.barred(peer, now):
                return admission.Admission(None, Close.TOO_FAST, "too many wrong tokens; wait a minute")
            self._logins.failed(peer, now)
        if verdict.token is not None:
            # The file may be locked by `handset pair`, and the disk slow.
            asyncio.get_running_loop().run_in_executor(None, self._tokens.note_use, verdict.token)
        return verdict

    def _may_read(self, connection: ServerConnection, request: Request) -> bool:
        """/health and /metrics: from this machine by anybody, from elsewhere with a token."""
        if admission.is_trusted(_peer(connection), request.headers.get_all("Host")):
            return True
        return self._admission(connection, request).scope is not None

    async def _serve(self, connection: ServerConnection) -> None:
        verdict = self._admitted.pop(connection)
        self._open.add(connection)
        try:
            if verdict.scope is None:
                await self._refuse(connection, verdict.code, verdict.reason)
            elif len(self._clients) >= self._limits.clients:
                await self._refuse(connection, Close.BUSY, "too many clients")
            else:
                await self._opened.wait()
                await self._keep(connection, verdict.scope)
        finally:
            self._open.discard(connection)

    async def _refuse(self, connection: ServerConnection, code: Close, reason: str) -> None:
        self._counted["clients_refused_total"] += 1
        try:
            async with asyncio.timeout(self._limits.close_within):
                await connection.close(code, reason)
        except TimeoutError:
            connection.transport.abort()

    async def _keep(self, connection: ServerConnection, scope: Scope) -> None:
        client = Client(connection, scope, self._commands, self._lines, self._limits, self._watch_levels)
        leave = Leave(Close.IDLE, "", flush=False)
        self._clients.add(client)
        try:
            leave = await client.run(
                protocol.hello(
                    self._version, self._device, self._commands.capabilities(), scope, self._snapshot.take()
                )
            )
        finally:
            self._clients.discard(client)
            self._watch_levels()
            self._counted["events_dropped_total"] += client.outbox.dropped
            self._counted["audio_refused_total"] += client.audio_refused
            await client.part(leave)

    def _publish(self, event: Event) -> None:
        self._snapshot.notice(event)
        encoded = ""
        for client in tuple(self._clients):
            client.noticed(event)
            if client.wants(event.topic):
                encoded = encoded or protocol.event(event)
                client.offer(event, encoded)

    def _watch_levels(self) -> None:
        """Have the levels measured exactly while somebody is subscribed to them."""
        wanted = self.wants(AudioLevel.topic)
        if wanted and self._leave_levels is None:
            self._leave_levels = self._lines.watch_levels()
        elif not wanted and self._leave_levels is not None:
            self._leave_levels()
            self._leave_levels = None

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(_METRICS_EVERY)
            if self.wants(MetricsMeasured.topic):
                self._bus.publish(MetricsMeasured(counters=self._health.counters()))


def _bounded(connections: int) -> type[ServerConnection]:
    """A connection that is dropped at once when it is one too many."""

    class Bounded(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            channel: socket.socket = transport.get_extra_info("socket")
            # The kernel would take megabytes for a client that does not read, and hide that it does not.
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            super().connection_made(transport)
            if len(self.server.handler_tasks) > connections:
                self.transport.abort()

    return Bounded


def check_exposure(settings: Control) -> None:
    """Raise ConfigurationInvalid when the API would be open beyond this machine without TLS and without the switch."""
    if admission.is_loopback(settings.bind) or settings.tls_certificate or settings.allow_plain:
        return
    raise ConfigurationInvalid(
        f"control.bind = {settings.bind!r} is beyond this machine, and there is no TLS",
        hint="set control.tls_certificate and control.tls_key, or control.allow_plain = true on a network you trust",
    )


def tls_context(settings: Control) -> ssl.SSLContext | None:
    """The TLS context, or None without a certificate. Raise ConfigurationInvalid for files that do not fit."""
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationInvalid(
            f"control.tls_certificate or control.tls_key cannot be used: {error}"
        ) from error
    return context


def _offered(request: Request) -> list[str]:
    try:
        return [
            name
            for value in request.headers.get_all("Sec-WebSocket-Protocol")
            for name in parse_subprotocol(value)
        ]
    except InvalidHeader:
        return []


def _subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    chosen = admission.chosen_subprotocol(offered)
    return None if chosen is None else Subprotocol(chosen)


def _peer(connection: ServerConnection) -> str:
    address = connection.remote_address
    return str(address[0]) if address else ""


def _response(method: str, content: Page) -> Response:
    headers = Headers(
        {
            "Date": email.utils.formatdate(usegmt=True),
            "Connection": "close",
            "Content-Length": str(len(content.body)),
        }
    )
    headers.update(content.headers)
    status = http.HTTPStatus(content.status)
    return Response(status.value, status.phrase, headers, b"" if method == "HEAD" else content.body)
