"""The text of an utterance, and how much of it had been heard after so many milliseconds of its audio. Pure."""

from dataclasses import dataclass
from typing import Final

QUICK_SPEECH_MS_PER_CHARACTER: Final = 40.0
"""Nobody speaks faster: a bound for the piece whose audio is still coming."""


@dataclass(slots=True)
class _Piece:
    from_ms: float
    text: str


class SpokenText:
    """Pieces of text, each with the place in the audio where it starts; `add_audio` tells how much audio there is."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self.audio_ms = 0.0
        self.complete = False
        """No more audio comes."""

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self._pieces)

    def add(self, text: str, from_ms: float) -> None:
        """The next piece; a start before that of the piece before it counts as the same start."""
        if self._pieces and from_ms <= self._pieces[-1].from_ms:
            self._pieces[-1].text += text
        elif text:
            self._pieces.append(_Piece(max(0.0, from_ms), text))

    def add_audio(self, milliseconds: float) -> None:
        self.audio_ms += milliseconds

    def heard(self, milliseconds: float) -> str:
        """What had been said by then, in whole words; inside a piece by proportion."""
        if self.complete and milliseconds >= self.audio_ms:
            return self.text.strip()
        said: list[str] = []
        for piece, end_ms in self._spans():
            if milliseconds >= end_ms:
                said.append(piece.text)
                continue
            if milliseconds > piece.from_ms:
                share = (milliseconds - piece.from_ms) / (end_ms - piece.from_ms)
                said.append(_whole_words(piece.text, share))
            break
        return "".join(said).strip()

    def _spans(self) -> list[tuple[_Piece, float]]:
        ends = [piece.from_ms for piece in self._pieces[1:]]
        return list(zip(self._pieces, [*ends, self._end_ms()], strict=True)) if self._pieces else []

    def _end_ms(self) -> float:
        last = self._pieces[-1]
        if self.complete:
            return max(self.audio_ms, last.from_ms + 1)
        return max(self.audio_ms, last.from_ms + len(last.text) * QUICK_SPEECH_MS_PER_CHARACTER)


def _whole_words(text: str, share: float) -> str:
    reached = int(len(text) * share)
    if reached >= len(text) or text[reached].isspace():
        return text[:reached]
    cut = max((place for place, sign in enumerate(text[:reached]) if sign.isspace()), default=0)
    return text[:cut]
