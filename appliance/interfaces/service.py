"""Contracts of what runs the appliance as a service: whom it tells how it is, and what takes its log."""

from collections.abc import Mapping
from typing import Protocol


class ServiceManager(Protocol):
    """A service manager. Group `appliance.service_managers`; built without arguments. Any thread may call it."""

    def notify(self, *lines: str) -> bool:
        """Send assignments ("READY=1") at once, in one message; False where nobody takes them. Raises nothing."""
        ...


class Journal(Protocol):
    """A log of records with fields. Group `appliance.journals`; built without arguments. Any thread may call it."""

    def write(self, message: str, fields: Mapping[str, str]) -> None:
        """Write one record; upper-case `fields` as PRIORITY, LOGGER. Never waits long; raises OSError."""
        ...
