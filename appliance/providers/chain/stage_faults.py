"""What goes wrong in a stage's own code, as a fault of that stage: then the next rung is asked."""

import contextlib
import logging
import traceback
from collections.abc import Iterator

from appliance.errors import ApplianceError, ProviderUnavailable

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def blamed_on(stage: str) -> Iterator[None]:
    """Let ApplianceErrors pass, and make one of any other exception."""
    try:
        yield
    except ApplianceError:
        raise
    except Exception as error:
        # Its kind and place only: its message may hold what was said.
        place = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("%s failed: %s at %s:%s", stage, type(error).__name__, place.name, place.lineno)
        raise ProviderUnavailable(f"{stage} failed: {type(error).__name__}") from error
