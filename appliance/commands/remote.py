"""A plain, blocking client of the control API, for the command line."""

import argparse
import itertools
import json
import os
import time
from collections import deque
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from appliance.commands.address import Address, find
from appliance.errors import ApplianceError, Forbidden, LineBusy, NotRunning

_OPEN_WITHIN: Final = 5.0
_ANSWER_WITHIN: Final = 15.0
_REFUSED: Final = {4401: Forbidden, 4403: Forbidden, 4409: LineBusy, 4429: LineBusy}
_TOKEN_HINT: Final = "make a token with: handset pair; then give it with --token or HANDSET_TOKEN"  # noqa: S105

Message = dict[str, Any]


class Refused(ApplianceError):
    """The daemon answered with an error; `code` is the one that it gave."""

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.refusal = code


class Remote:
    """A connection to the daemon. Raise NotRunning when nobody answers, Forbidden when the token does not do."""

    def __init__(self, address: Address, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._ids = itertools.count(1)
        self._waiting: deque[Message] = deque(maxlen=10_000)
        self._open = ExitStack()
        try:
            self._socket = self._open.enter_context(
                connect(
                    f"{address}/v1",
                    additional_headers=headers,
                    open_timeout=_OPEN_WITHIN,
                    close_timeout=1.0,
                    compression=None,
                    max_size=16 << 20,
                    proxy=None,
                    ssl=address.context(),
                )
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise NotRunning(
                f"{address} is not the control API: HTTP {status}", hint="check --address"
            ) from error
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
            raise NotRunning(f"nobody answers at {address}") from error
        self.hello = self._receive(time.monotonic() + _OPEN_WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def ask(self, command: str, within: float = _ANSWER_WITHIN, **fields: Any) -> Message:
        """Send a command and return its result's data; raise Refused. Events that come before it are kept."""
        mine = str(next(self._ids))
        deadline = time.monotonic() + within
        try:
            self._socket.send(json.dumps({"type": command, "id": mine, **fields}))
        except ConnectionClosed as error:
            raise _closed(error) from error
        while True:
            message = self._receive(deadline)
            if message.get("id") != mine:
                self._waiting.append(message)
            elif message["type"] == "error":
                raise Refused(message["message"], code=message["code"], hint=message.get("hint", ""))
            else:
                data: Message = message["data"]
                return data

    def next_event(self, within: float | None = None) -> Message:
        """The next event, in order. Raise TimeoutError after `within` seconds."""
        if self._waiting:
            return self._waiting.popleft()
        return self._receive(None if within is None else time.monotonic() + within)

    def _receive(self, deadline: float | None) -> Message:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                frame = self._socket.recv(left)
            except ConnectionClosed as error:
                raise _closed(error) from error
            if isinstance(frame, str):
                message: Message = json.loads(frame)
                return message


def call_daemon(args: argparse.Namespace) -> Remote:
    """Connect as the options and the environment say."""
    return Remote(find(args), args.token or os.environ.get("HANDSET_TOKEN", ""))


def _closed(error: ConnectionClosed) -> ApplianceError:
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")
    kind = _REFUSED.get(code)
    if kind is Forbidden:
        return Forbidden(reason or "the token does not do", hint=_TOKEN_HINT)
    if kind is not None:
        return kind(reason or "the appliance is busy")
    return NotRunning(
        f"the daemon closed the connection ({code} {reason})".replace(" )", ")"), hint="see its log"
    )
