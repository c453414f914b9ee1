"""Where the history is written; and what the last run left there: usage, dialled numbers, where conversations stood."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any, Final

from appliance.bus import EventBus
from appliance.call.controller import Calls
from appliance.errors import ApplianceError
from appliance.events import Warned
from appliance.health import Health
from appliance.session.checkpoint import Checkpoints
from appliance.session.usage import Usage
from appliance.store.store import Store

_STORE_SECONDS: Final = 30.0
logger = logging.getLogger(__name__)


def build_store(directory: Path, bus: EventBus, health: Health) -> Store:
    """Its part fails while the history is not written. What it has to tell comes from threads of its own."""
    loop = asyncio.get_running_loop()
    part = health.part("history", required=False)
    part.ok()

    def warn(code: str, message: str, hint: str) -> None:
        loop.call_soon_threadsafe(bus.publish, Warned(code=code, message=message, hint=hint))

    def judge(reason: str, hint: str) -> None:
        part.failing(reason, hint) if reason else part.ok()

    def judge_soon(reason: str, hint: str) -> None:
        loop.call_soon_threadsafe(judge, reason, hint)

    store = Store(directory, warn)
    store.on_condition = judge_soon
    return store


async def recall(store: Store, usage: Usage, checkpoints: Checkpoints, calls: Calls | None) -> None:
    """Hand each what the last run left for it. Without the history all of them begin anew."""
    try:
        talk, used, stood, dialled = await asyncio.to_thread(_read, store)
    except ApplianceError as error:
        logger.warning("what was kept is not there: %s", error.message)
        talk, used, stood, dialled = [], [], [], []
    usage.load(talk, used)
    checkpoints.load(stood)
    if calls is not None:
        calls.outgoing.load(dialled)


def _read(store: Store) -> tuple[list[Any], list[Any], list[Any], list[tuple[str, float]]]:
    store.flush(_STORE_SECONDS)
    day = time.localtime()
    midnight = time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))
    dialled = store.dialled_by_agents(midnight)
    return store.talk(), store.usage(), store.checkpoints(), dialled
