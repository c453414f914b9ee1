"""Level of a block of samples."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

SILENCE_DBFS: Final = -96.0


def level_dbfs(samples: NDArray[np.int16]) -> float:
    """RMS in dB relative to full scale; SILENCE_DBFS is the lowest, also for no samples."""
    if not len(samples):
        return SILENCE_DBFS
    signal = samples.astype(np.float32)
    power = float(np.dot(signal, signal)) / len(samples) / 32_768.0**2
    return max(SILENCE_DBFS, 10 * math.log10(power)) if power > 0 else SILENCE_DBFS
