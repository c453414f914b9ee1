"""A front panel without pins: a test moves its contacts, and sees its light."""

import asyncio
from collections.abc import Callable, Mapping

from appliance.interfaces import Colour, ContactMoved, Control, KnobTurned, PanelReport, Wiring


class FakePanel:
    """Speaks interfaces.Panel; `fault` is what `start` raises, `broken` what reading and lighting do. Times are the
    running loop's."""

    absent = ""

    def __init__(self, active: tuple[Control, ...] = (), fault: Exception | None = None) -> None:
        self.wiring: Wiring | None = None
        self.colours: list[Colour] = []
        self.running = False
        self._active = set(active)
        self.fault = fault
        self.broken: Exception | None = None
        self.starts = 0
        self._report: Callable[[PanelReport], None] = lambda _: None

    def __call__(self, wiring: Wiring) -> "FakePanel":
        """It is its own factory."""
        self.wiring = wiring
        return self

    def look(self, chip: str) -> str:
        return self.absent

    def start(self, report: Callable[[PanelReport], None]) -> Mapping[Control, bool]:
        self.starts += 1
        if self.fault is not None:
            raise self.fault
        assert self.wiring is not None
        self._report, self.running = report, True
        return {control: control in self._active for control in self.wiring.contacts}

    def active(self, control: Control) -> bool:
        if self.broken is not None:
            raise self.broken
        return control in self._active

    def show(self, colour: Colour) -> None:
        if self.broken is not None:
            raise self.broken
        self.colours.append(colour)

    def stop(self) -> None:
        self.running = False

    # --- what the person does

    def move(self, control: Control, active: bool) -> None:
        """The contact becomes so, at once and without bouncing."""
        (self._active.add if active else self._active.discard)(control)
        self._report(ContactMoved(control, active, asyncio.get_running_loop().time()))

    def close_unseen(self, control: Control) -> None:
        """The contact becomes active, and its report is still on its way."""
        self._active.add(control)

    def turn(self, steps: int) -> None:
        self._report(KnobTurned(steps))

    async def hold(self, control: Control, seconds: float) -> None:
        """Press it for so long."""
        self.move(control, True)
        await asyncio.sleep(seconds)
        self.move(control, False)
