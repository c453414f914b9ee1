"""systemd's journal, with fields beside the message."""

from collections.abc import Mapping

from systemd import journal


class SystemdJournal:
    """Implements interfaces.Journal."""

    def write(self, message: str, fields: Mapping[str, str]) -> None:
        journal.sendv(f"MESSAGE={message}", *(f"{name}={value}" for name, value in fields.items()))
