"""How long what may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """In seconds."""

    dial: float = 5.0
    patience: float = 5.0
    """So long a piece may be silent before it counts as broken off."""
    ending: float = 1.5
    """The same once all its words have begun to sound: a service that forgets to say that it has ended."""
    keep: float = 120.0
    """So long a connection is kept while nobody speaks."""
