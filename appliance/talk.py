"""The verb `talk`: one conversation between two WAV files, in real time, without devices, daemon or history."""

import argparse
import asyncio
import json
import sys
from typing import Final, Protocol

from appliance import log, plugins
from appliance.config.check import report, usable
from appliance.config.schema import Configuration
from appliance.daemon import Appliance
from appliance.errors import ConfigurationInvalid
from appliance.events import AudioLevel, Event, Failed, MetricsMeasured, Transcript, Warned

QUIET_SECONDS: Final = 3.0
LATEST_SECONDS: Final = 12.0
LOOK_SECONDS: Final = 0.1
_SILENT: Final = (AudioLevel, MetricsMeasured)


class _FileCard(Protocol):
    """What drivers/audio_wav.py has beyond a sound card."""

    @property
    def finished(self) -> bool: ...


def talk(args: argparse.Namespace) -> int:
    """Exit 0 when the conversation took place, 1 when the provider failed, 2 for wrong use or an unfit file."""
    loaded = usable(args.config)
    if loaded.configuration is None:
        report(loaded)
        return 2
    configuration = _for_files(loaded.configuration, args.provider)
    log.begin("error" if configuration.log.level == "info" else configuration.log.level)
    return asyncio.run(_converse(configuration, args))


def _for_files(configuration: Configuration, provider: str | None) -> Configuration:
    """The room line alone, on files, with one provider where one is named."""
    room = configuration.room.model_copy(
        update={"enabled": True, "mode": "open", "input": "wav", "output": "wav"}
    )
    conversation = configuration.conversation
    if provider:
        if provider not in plugins.names("appliance.providers"):
            known = ", ".join(plugins.names("appliance.providers"))
            raise ConfigurationInvalid(f"there is no provider {provider!r}", hint=f"there are: {known}")
        conversation = conversation.model_copy(update={"providers": (provider,)})
    sip = configuration.sip.model_copy(update={"enabled": False})
    return configuration.model_copy(update={"room": room, "conversation": conversation, "sip": sip})


async def _converse(configuration: Configuration, args: argparse.Namespace) -> int:
    appliance: Appliance | None = None
    printer = _Printer(as_json=args.json)
    card = plugins.load("appliance.sound_cards", "wav")(args.input, args.output)
    try:
        appliance = Appliance(configuration, args.config, card=card, alone=True)
        appliance.bus.listen(printer.take)
        await appliance.start()
        await _until_over(appliance, card)
    finally:
        if appliance is not None:
            await appliance.stop()
        await asyncio.to_thread(card.stop)
    return 1 if printer.failed else 0


async def _until_over(appliance: Appliance, card: _FileCard) -> None:
    """Return once the microphone is over and nothing was playing, pending or rung for 3 s; at most 12 s after it."""
    loop = asyncio.get_running_loop()
    over_at: float | None = None
    quiet_since = loop.time()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = loop.time()
        if appliance.busy() or not card.finished:
            quiet_since = now
        if card.finished and over_at is None:
            over_at = now
        if over_at is not None and (now - quiet_since >= QUIET_SECONDS or now - over_at >= LATEST_SECONDS):
            return


class _Printer:
    """Prints what happens: the transcript for people, every event for programs."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told: set[str] = set()
        self.failed = False

    def take(self, event: Event) -> None:
        self.failed |= isinstance(event, Failed)
        if isinstance(event, _SILENT):
            return
        if self._as_json:
            print(json.dumps(event.wire(), ensure_ascii=False, default=str), flush=True)
        else:
            self._for_people(event)

    def _for_people(self, event: Event) -> None:
        match event:
            case Transcript(role=role, final=True, text=text, heard=heard) if text:
                cut = heard is not None and heard != text
                print(f"{role}: {heard} [interrupted]" if cut else f"{role}: {text}", flush=True)
            case Failed(message=message, hint=hint) | Warned(message=message, hint=hint):
                # What a provider was refused for at the start may be told again by its first dial.
                if message not in self._told:
                    print(f"{message}" + (f"\n  {hint}" if hint else ""), file=sys.stderr)
                self._told.add(message)
            case _:
                return
