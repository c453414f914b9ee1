"""The verb `run`: the daemon's process, from its configuration to its exit code, with the signals that it takes."""

import argparse
import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

from appliance import heap, journal, log
from appliance.config.check import report, usable
from appliance.config.load import Loaded
from appliance.control.location import page_address
from appliance.daemon import LINGER_SECONDS, STOP_SECONDS, Appliance
from appliance.errors import ApplianceError, ConfigurationInvalid, kind_and_place
from appliance.service import Notifier, find_manager

EXIT_CONFIGURATION: Final = 2
EXIT_CONFIGURATION_SERVICE: Final = 78
EXIT_INTERNAL: Final = 70
logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """The verb `run`: exit 0 after SIGTERM, 2 (78 for systemd) for a faulty configuration, 1 when it cannot start.

    70 is a fault of ours.
    """
    faulty = EXIT_CONFIGURATION_SERVICE if os.environ.get("NOTIFY_SOCKET") else EXIT_CONFIGURATION
    loaded = usable(args.config)
    if loaded.configuration is None:
        report(loaded)
        print("nothing was started", file=sys.stderr)
        return faulty
    log.begin(loaded.configuration.log.level)
    heap.bound()
    # The watchdog ends us with SIGABRT: then each thread says where it stood.
    faulthandler.enable()
    try:
        return asyncio.run(_serve(loaded, args.config))
    except ApplianceError as error:
        print(f"handset: {error.message}" + (f"\n  {error.hint}" if error.hint else ""), file=sys.stderr)
        return faulty if isinstance(error, ConfigurationInvalid) else 1
    except Exception:
        logger.exception("the appliance broke")
        return EXIT_INTERNAL


async def _serve(loaded: Loaded, config: str | None) -> int:
    loop = asyncio.get_running_loop()
    log_mishaps(loop)
    ending = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ending.set)
    # Until it has started, what it reads is new anyway.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    notifier = find_manager()
    appliance = Appliance(loaded.require(), config, notifier=notifier)
    journal.follow(appliance.bus)
    reloads: set[asyncio.Task[Any]] = set()

    def reload() -> None:
        task = loop.create_task(_reload_for_signal(appliance, notifier))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    try:
        await appliance.start()
        logger.info("the kiosk page is at %s", page_address(appliance.configuration.control))
        loop.add_signal_handler(signal.SIGHUP, reload)
        notifier.ready()
        await ending.wait()
        notifier.stopping()
    finally:
        hung = _end_after(STOP_SECONDS, EXIT_INTERNAL)
        await appliance.stop()
        hung.cancel()
    # All is closed. A look-up of a name that hangs in a thread is nobody's loss.
    _end_after(LINGER_SECONDS, 0)
    return 0


def log_mishaps(loop: asyncio.AbstractEventLoop) -> None:
    """Log what no task and no callback caught without its message, and without what the callback was given."""

    def told(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        fault, task = context.get("exception"), context.get("future")
        name = task.get_name() if isinstance(task, asyncio.Task) else "a callback"
        logger.error("%s broke: %s", name, kind_and_place(fault) if fault is not None else context["message"])

    loop.set_exception_handler(told)


async def _reload_for_signal(appliance: Appliance, notifier: Notifier) -> None:
    notifier.reloading()
    try:
        await appliance.reload()
    except ApplianceError as error:
        logger.error("the configuration was not reloaded: %s", error.message)
    finally:
        notifier.ready()


def _end_after(seconds: float, code: int) -> threading.Timer:
    """End the process then, whatever hangs; a thread of its own, since the loop itself may be what hangs."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
    return timer
