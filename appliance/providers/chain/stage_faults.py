"""What goes wrong in a stage's own code, as a fault of that stage: then the next rung is asked."""

import contextlib
import logging
from collections.abc import Iterator, Mapping

from appliance.errors import ApplianceError, ProviderUnavailable, kind_and_place
from appliance.interfaces import ProviderTrouble

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def blamed_on(stage: str) -> Iterator[None]:
    """Let ApplianceErrors pass, and make one of any other exception."""
    try:
        yield
    except ApplianceError:
        raise
    except Exception as error:
        logger.error("%s failed: %s", stage, kind_and_place(error))
        raise ProviderUnavailable(f"{stage} failed: {type(error).__name__}") from error


def told_of(stage: str, fault: ApplianceError) -> str:
    """The fault's message with the stage's name before it, once: most begin with it."""
    return fault.message if fault.message.startswith(stage) else f"{stage}: {fault.message}"


def stages_skipped(skipped: Mapping[str, ApplianceError]) -> ProviderTrouble:
    """That these stages are left out, in one event, each with why."""
    told = "; ".join(f"{stage} is left out: {fault.message}" for stage, fault in skipped.items())
    hints = dict.fromkeys(fault.hint for fault in skipped.values() if fault.hint)
    return ProviderTrouble("stage_skipped", told, "; ".join(hints))
