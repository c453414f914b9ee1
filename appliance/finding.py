"""What a check of `doctor` found."""

from dataclasses import dataclass
from typing import Final

OK: Final = "ok"
WARNING: Final = "warning"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is ok, warning or failed; `remedy` says what to do where it is not ok."""

    check: str
    state: str
    message: str
    remedy: str = ""
