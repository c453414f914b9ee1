"""How long what may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """In seconds."""

    dial: float = 5.0
    patience: float = 5.0
    """So long a piece may be silent before it counts as broken off."""
    keep: float = 120.0
    """So long a connection is kept while nobody speaks."""
