"""Cuts a model's text, as it streams in, into pieces that a voice can speak. Pure: the caller tells the time.

The first piece is short, so that speech begins early; later ones hold whole sentences, so that they sound like speech.
No piece is longer than `most` characters, and no text waits longer than HOLD_SECONDS for its end.
"""

# ruff: noqa: RUF001 - clause marks of several scripts

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from appliance.sentences import sentence_ends, speakable

FIRST: Final = 24
"""Characters after which a clause is enough for the first piece."""
LEAST: Final = 60
"""Characters that later pieces have, where there are so many."""
MOST: Final = 240
HOLD_SECONDS: Final = 1.2
WIDE: Final = 3
"""A sign of a script whose signs are syllables takes as long as so many letters."""
LOOK_AHEAD: Final = 400
"""Characters behind a piece's bound that may tell where it ends: what is beyond is looked at later."""
_CLAUSE: Final = re.compile(r"[,;:][\"'”’)\]]*(?=\s)|\s[-–—](?=\s)|[，、；：،؛]")
_INSIDE: Final = re.compile(
    r"!?\[[^\]\n]{0,200}$|\]\([^)\s]{0,400}$|</?[A-Za-z][^<>\n]{0,200}$|`[^`\n]{1,80}$"
)
"""A link, a tag or code that is not closed yet: cut here, its marks would be spoken."""
_FENCE: Final = "```"


class Chunker:
    """`add` and `finish` return the pieces that are ready: plain text, without markup, never empty."""

    def __init__(self, *, first: int = FIRST, least: int = LEAST, most: int = MOST) -> None:
        self._first = first
        self._least = least
        self._most = most
        self._fences = _Fences()
        self._text = ""
        self._begun = False
        self._since: float | None = None

    def add(self, text: str, now: float) -> list[str]:
        self._text += self._fences.take(text)
        pieces = list(self._whole())
        self._look_at_clock(now, cut=bool(pieces))
        return pieces

    def due(self) -> float | None:
        """When `overdue` should be asked; None while nothing waits."""
        return None if self._since is None else self._since + HOLD_SECONDS

    def overdue(self, now: float) -> list[str]:
        """The model pauses: what ends with a whole word is spoken, rather than silence."""
        due = self.due()
        if due is None or now < due:
            return []
        text = self._window()
        cut = self._cut(text, min(len(text), self._most // self._scale(text)), paused=True)
        pieces = self._take(cut) if cut else []
        self._since = now if self._text.strip() else None
        return pieces

    def finish(self) -> list[str]:
        """No more comes: all that is left."""
        self._text += self._fences.finish()
        pieces = list(self._whole())
        while self._text.strip():
            text = self._window()
            most = self._most // self._scale(text)
            cut = len(text) if len(text) <= most else self._cut(text, most)
            pieces += self._take(cut)
        self._text, self._since = "", None
        return pieces

    def _look_at_clock(self, now: float, *, cut: bool) -> None:
        if not self._text.strip():
            self._since = None
        elif cut or self._since is None:
            self._since = now

    def _whole(self) -> Iterator[str]:
        while (cut := self._next_cut()) > 0:
            yield from self._take(cut)

    def _next_cut(self) -> int:
        """Where the next piece ends; 0 while it cannot be told."""
        text = self._window()
        scale = self._scale(text)
        first, least, most = self._first // scale, self._least // scale, self._most // scale
        ends = [end for end in sentence_ends(text, more=True) if not _INSIDE.search(text[:end])]
        if not self._begun:
            clauses = (end for end in _clauses(text) if len(text[:end].strip()) >= first)
            ends = sorted({*ends[:1], *([clause] if (clause := next(clauses, 0)) else [])})
            wanted = [end for end in ends if end <= most]
            if wanted:
                return wanted[0]
        else:
            wanted = [end for end in ends if least <= end <= most]
            if wanted:
                return wanted[-1]
        return self._cut(text, most) if len(text) > most else 0

    def _cut(self, text: str, within: int, *, paused: bool = False) -> int:
        """The best place at or before `within`: a sentence's end, a clause's, a word's, at last anywhere.

        With `paused` a word that may go on is left, and what looks like a sentence's end is taken for one.
        """
        kinds = (sentence_ends(text, more=not paused), _clauses(text), _blanks(text))
        for ends in kinds:
            good = [end for end in ends if 0 < end <= within and not _INSIDE.search(text[:end])]
            if good:
                return good[-1]
        if paused:
            return 0
        while within > 1 and (unicodedata.combining(text[within]) or text[within] in "\u200d\ufe0f"):
            within -= 1
        return within

    def _window(self) -> str:
        """What of the text is looked at: all of a long one, for each of its pieces, would take seconds."""
        return self._text[: self._most + LOOK_AHEAD]

    def _scale(self, text: str) -> int:
        text = text[: self._most]
        wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
        return WIDE if wide * 2 > len(text) else 1

    def _take(self, cut: int) -> list[str]:
        piece, self._text = speakable(self._text[:cut]), self._text[cut:].lstrip(" ")
        piece = " ".join(piece.split())
        if not any(character.isalnum() for character in piece):
            return []
        self._begun = True
        return [piece]


class _Fences:
    """Leaves out blocks of code: nobody wants them read aloud."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False

    def take(self, text: str) -> str:
        text, self._held = self._held + text, ""
        given: list[str] = []
        while (at := text.find(_FENCE)) >= 0:
            given.append("\n" if self._inside else text[:at])
            text, self._inside = text[at + len(_FENCE) :], not self._inside
        open_marks = len(text) - len(text.rstrip("`"))
        if open_marks:
            text, self._held = text[:-open_marks], text[-open_marks:]
        if not self._inside:
            given.append(text)
        return "".join(given)

    def finish(self) -> str:
        held, self._held = self._held, ""
        return "" if self._inside else held


def _clauses(text: str) -> Iterator[int]:
    return (found.end() for found in _CLAUSE.finditer(text) if not _in_number(text, found.start()))


def _in_number(text: str, at: int) -> bool:
    return text[at] in ",:" and text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit()


def _blanks(text: str) -> Iterator[int]:
    return (found.end() for found in re.finditer(r"\s+", text))
