"""What was measured of the room's devices, kept in a file in the state directory, by the devices' stable names."""

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from appliance import private
from appliance.audio.duplex import Choice, Duplex, Trial, choose
from appliance.disk_faults import unwritable
from appliance.errors import StoreUnavailable

if TYPE_CHECKING:  # a start needs what was chosen, not how a room is measured
    from appliance.audio.sweep import Acoustics

FILE: Final = "calibration.json"
KEPT: Final = 16
"""Pairs of devices; of more, those measured longest ago go."""
_MODE: Final = 0o644
"""Nothing in it is secret, and whoever calibrates may be another user than the daemon."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """One pair of devices. Times in Unix seconds; what is None was not measured."""

    input: str
    output: str
    measured_at: float
    duplex: str
    duck_db: float
    reason: str
    noise_dbfs: float
    delay_ms: float | None = None
    drift_ppm: float | None = None
    coupling_db: float | None = None
    erle_db: float | None = None
    onsets: int | None = None

    @property
    def choice(self) -> Choice:
        return Choice(Duplex(self.duplex), self.duck_db, self.reason)

    @property
    def shown(self) -> dict[str, Any]:
        """For `status`: without the devices' names, which stand beside it."""
        return {key: value for key, value in asdict(self).items() if key not in ("input", "output")}


def calibrated(
    devices: tuple[str, str], at: float, found: "Acoustics", trial: Trial | None, *, canceller: bool
) -> Calibration:
    """What follows of a measurement in which the probe was heard. `devices`: microphone and speaker."""
    choice = choose(found, trial, canceller=canceller)
    return Calibration(
        input=devices[0],
        output=devices[1],
        measured_at=at,
        duplex=choice.mode.value,
        duck_db=choice.duck_db,
        reason=choice.reason,
        noise_dbfs=found.noise_dbfs,
        delay_ms=found.delay_ms,
        drift_ppm=found.drift_ppm,
        coupling_db=found.coupling_db,
        erle_db=trial.erle_db if trial is not None else None,
        onsets=trial.onsets if trial is not None else None,
    )


class CalibrationFile:
    """A JSON list, written atomically. Both methods wait for the disk."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def of(self, input_name: str, output_name: str) -> Calibration | None:
        """What is known of that pair of devices."""
        return next(
            (known for known in self._all() if (known.input, known.output) == (input_name, output_name)), None
        )

    def keep(self, calibration: Calibration) -> None:
        """Put it in the place of what was known of the pair. Raise StoreUnavailable."""
        pair = (calibration.input, calibration.output)
        others = [known for known in self._all() if (known.input, known.output) != pair]
        others.sort(key=lambda known: known.measured_at)
        fresh = self._path.with_suffix(".new")
        try:
            private.make_directory(self._path.parent)
            with open(fresh, "w", encoding="utf-8", opener=private.draft_opener) as file:
                json.dump([asdict(one) for one in [*others[1 - KEPT :], calibration]], file, indent=1)
                file.flush()
                os.fchmod(file.fileno(), _MODE)
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            told, hint = unwritable(error, "run it as the user that the appliance runs as, or as root")
            raise StoreUnavailable(f"{self._path} cannot be written: {told}", hint=hint) from error

    def _all(self) -> list[Calibration]:
        try:
            rows = json.loads(self._path.read_text(encoding="utf-8"))
            return [_calibration(row) for row in rows]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError:
            logger.warning("%s may not be read: the room counts as not measured", self._path)
            return []
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            logger.warning("the calibration is damaged and moved aside: %s", type(error).__name__)
            with contextlib.suppress(OSError):
                self._path.replace(self._path.with_suffix(".broken"))
            return []


def _calibration(row: Mapping[str, Any]) -> Calibration:
    """A row of the file. Raise ValueError, TypeError or KeyError for what `keep` never wrote."""
    numbers = {"duck_db", "noise_dbfs", "delay_ms", "drift_ppm", "coupling_db", "erle_db", "measured_at"}
    known = {field.name: row[field.name] for field in fields(Calibration) if field.name in row}
    for name in numbers & known.keys():
        if known[name] is not None:
            known[name] = float(known[name])
    calibration = Calibration(**known)
    Duplex(calibration.duplex)
    return calibration
