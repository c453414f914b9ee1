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

    def end(self) -> None:
        """Give both back; a line that was lent anew meanwhile is let be."""
        for line, loan in zip(self.lines, (self._to_one, self._to_other), strict=True):
            if line.loan is loan:
                line.reclaim()
