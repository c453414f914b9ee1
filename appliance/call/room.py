"""What the controller asks of the room, where a person can talk on calls."""

from typing import Protocol

from appliance.call.call import Call
from appliance.errors import NotPossible


class RoomPort(Protocol):
    """appliance/phone.py, as far as the person in the room is concerned."""

    def require_ready(self) -> None:
        """Raise an ApplianceError while nobody there could talk on one more call."""
        ...

    def dialled(self, call: Call) -> None:
        """The person waits for whom they called."""
        ...

    def place(self, call: Call, line: str) -> None:
        """An answered call is to be with the "room" or the "agent"."""
        ...


class NoRoom:
    """Refuses all of it."""

    def require_ready(self) -> None:
        raise NotPossible("there is no room", hint="set room.enabled = true")

    def dialled(self, call: Call) -> None:
        self.require_ready()

    def place(self, call: Call, line: str) -> None:
        self.require_ready()
