"""Whether there is a front panel at all. Apart from the rest of it, which a machine without one does not import."""

import logging
from typing import Any, Final

from appliance import plugins
from appliance.config.schema import Gpio
from appliance.errors import ApplianceError
from appliance.health import Part

DRIVER: Final = "gpiozero"
"""What "auto" takes, where it finds something to drive."""
logger = logging.getLogger(__name__)


def find(settings: Gpio, part: Part) -> tuple[Any, str]:
    """The driver, a class that fulfils interfaces.Panel, or None where there is nothing for it; and what is amiss.

    `part` is told why there is none, and the log once; a driver that was asked for by name is there in any case.
    """
    if settings.driver == "off":
        part.ok("switched off (gpio.driver)")
        return None, ""
    asked = settings.driver != "auto"
    try:
        driver = plugins.load("appliance.panels", settings.driver if asked else DRIVER)
    except ApplianceError as error:
        part.failing(f"{error.message}; {error.hint}")
        logger.error("no front panel: %s", error.message)
        return None, ""
    amiss: str = driver.look(settings.chip)  # type: ignore[attr-defined]  # a class, as the contract says
    if amiss and not asked:
        logger.info("no GPIO, so no buttons, switches and lights: %s", amiss)
        part.ok(f"not there: {amiss}")
        return None, amiss
    return driver, amiss
