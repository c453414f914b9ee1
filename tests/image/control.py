"""A program at an emulated box's control API, from outside and with a token, patient."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.image.machine import Machine
from tests.rig.control_client import ControlClient


class Client(ControlClient):
    patience = 600.0


def token(box: Machine) -> str:
    """A new one, that may do everything."""
    return str(json.loads(box.shell("handset pair --scope admin --name tests --json"))["token"])


@asynccontextmanager
async def client(box: Machine, secret: str) -> AsyncIterator[Client]:
    async with Client(box.port("tcp", 8765), token=secret) as opened:
        yield opened


async def converse(control: Client, text: str) -> str:
    """A conversation of one typed turn; the session's id once its history has both sides of it."""
    # Without a microphone: it would speak by this machine's clock.
    session = str((await control.ask("session.open", line="client", sample_rate=16_000))["session"])
    since = control.mark
    await control.ask("text", session=session, text=text)
    await control.answer(session, 600.0, since=since)
    await control.idle(session, 600.0, since=since)
    await control.ask("session.close", session=session)
    return session


async def said(control: Client, session: str) -> list[tuple[str, str]]:
    """Who said what in a session, by its history."""
    got: dict[str, Any] = await control.ask("history.get", session=session)
    return [(turn["role"], turn["text"]) for turn in got["turns"]]
