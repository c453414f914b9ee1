"""The providers of the ladder, best first: built, loaded before they are needed, built anew at a reload."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from appliance.bus import EventBus
from appliance.config.providers import build
from appliance.config.schema import Configuration
from appliance.errors import ApplianceError
from appliance.events import Warned
from appliance.interfaces import Provider

_SPARE_SECONDS: Final = 5.0
"""Between loading one provider and the next: the first is dialled meanwhile, and has the processor."""
_LOOK_SECONDS: Final = 1.0
logger = logging.getLogger(__name__)


class Rungs:
    """`providers` is the same list for good: sessions look into it at each dial. All belongs to the loop's thread."""

    def __init__(self, configuration: Configuration, bus: EventBus) -> None:
        """Raise ConfigurationInvalid where the settings of one cannot be used at all."""
        self._names = configuration.conversation.providers
        self._settings = configuration.providers
        self._bus = bus
        self.providers = [build(name, configuration) for name in self._names]

    def renew(self, fresh: Configuration) -> list[Provider]:
        """From the next dial on, keys and settings are those of `fresh`, and of the files that it names.

        Connections that are there stay. So does a local provider that is unchanged: its models are loaded;
        and one that is to go at the restart, whose table may be gone already. Return those that were replaced, for
        the caller to close. Raise ConfigurationInvalid, and change nothing.
        """
        renewed = {
            place: build(name, fresh) for place, name in enumerate(self._names) if self._stale(place, fresh)
        }
        old = [self.providers[place] for place in renewed]
        for place, provider in renewed.items():
            self.providers[place] = provider
        self._settings = fresh.providers
        return old

    def _stale(self, place: int, fresh: Configuration) -> bool:
        name = self._names[place]
        if name not in fresh.conversation.providers:
            return False
        changed = self._settings.get(name) != fresh.providers.get(name)
        return changed or not self.providers[place].capabilities.local

    async def warm(self, busy: Callable[[], bool]) -> None:
        """Load what the first turn needs, so that it is not slow; and while not `busy()` what the lower rungs need."""
        for rung, provider in enumerate(self.providers):
            if rung:
                await asyncio.sleep(_SPARE_SECONDS)
            while rung and busy():  # noqa: ASYNC110 # no event tells that all lines are quiet
                await asyncio.sleep(_LOOK_SECONDS)
            await self._load(provider)

    async def _load(self, provider: Provider) -> None:
        """What fails here is told again when it is used."""
        try:
            await provider.warm()
        except ApplianceError as error:
            self._bus.publish(Warned(code=error.code, message=error.message, hint=error.hint))
            logger.warning("provider %s is not ready: %s", provider.name, error.message)
