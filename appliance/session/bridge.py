"""Two lines joined: what is heard on one sounds on the other. Belongs to the loop's thread."""

from appliance.audio import tones
from appliance.session.line import Line


class Bridge:
    """Lends both lines out, each to the other, until `end`."""

    def __init__(self, one: Line, other: Line) -> None:
        self.lines = (one, other)
        self._to_other = other.lend(lambda heard: self._to_one.play(heard.frame.pcm, heard.frame.rate))
        self._to_one = one.lend(lambda heard: self._to_other.play(heard.frame.pcm, heard.frame.rate))

    def hold(self, line: Line, on: bool) -> None:
        """The far end of `line` is on hold: who is joined with it hears music meanwhile."""
        loan = self._to_other if line is self.lines[0] else self._to_one
        if on:
            loan.repeat(tones.music(loan.playout.rate))
        else:
            loan.silence()

    def signal(self) -> None:
        """A short tone that both hear."""
        for loan in (self._to_one, self._to_other):
            loan.play(tones.beep(loan.playout.rate), loan.playout.rate)

    def tell(self, pcm: bytes, rate: int) -> None:
        """Say it to both, who do not hear each other meanwhile, until `go_on`."""
        for loan in (self._to_one, self._to_other):
            loan.tell(pcm, rate)

    def told(self) -> bool:
        """Whether both have heard it to its end."""
        return self._to_one.told() and self._to_other.told()

    def go_on(self) -> None:
        """They hear each other again; who is on hold still has the music."""
        for loan in (self._to_one, self._to_other):
            if loan.telling:
                loan.silence()

    def stands(self) -> bool:
        """Whether both lines are lent to it still."""
        return all(
            line.loan is loan for line, loan in zip(self.lines, (self._to_one, self._to_other), strict=True)
        )

    def end(self) -> None:
        """Give both back; a line that was lent anew meanwhile is let be."""
        for line, loan in zip(self.lines, (self._to_one, self._to_other), strict=True):
            if line.loan is loan:
                line.reclaim()
