"""Takes private thoughts out of a model's text: <think>...</think> and its kin, as local models write it. Pure."""

import re
from typing import Final

TAGS: Final = ("think", "thinking", "thought", "thoughts", "reasoning")
_PAIRS: Final = {
    **{f"<{tag}>": f"</{tag}>" for tag in TAGS},
    "[think]": "[/think]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
}
_MARKS: Final = (*_PAIRS, *_PAIRS.values())
_STARTS: Final = frozenset(mark[0] for mark in _MARKS)
_LONGEST: Final = max(len(mark) for mark in _MARKS)


class ThoughtFilter:
    """Text goes in as it comes, chopped anywhere; what is to be said comes out, at most a tag's length late.

    `inside` at the beginning: the model's template has opened the thought already, and only its end will come. Thoughts
    that never end hide the rest. Of the blanks around a thought one is left, at the answer's beginning none.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._held = ""
        self._until = "</think>" if inside else ""
        self._begins = True
        """What comes next begins the answer, or goes on after a thought."""
        self._gap = False
        self._last = ""

    @property
    def inside(self) -> bool:
        """A thought is being thought."""
        return bool(self._until)

    def feed(self, text: str) -> str:
        """Return what may be said of it, perhaps nothing."""
        text, self._held = self._held + text, ""
        said: list[str] = []
        while text:
            text = self._out_of_thought(text) if self._until else self._said(text, said)
        return "".join(said)

    def end(self) -> str:
        """Return what was held back: it was no tag."""
        held, self._held = self._held, ""
        return "" if self._until else self._trimmed(held)

    def _said(self, text: str, said: list[str]) -> str:
        """Move the text before the next tag to `said`; return what comes after the tag."""
        for at, character in enumerate(text):
            if character not in _STARTS:
                continue
            here = text[at : at + _LONGEST].lower()
            mark = next((mark for mark in _MARKS if here.startswith(mark)), "")
            if mark:
                said.append(self._trimmed(text[:at]))
                # An end without a beginning: the thought was told as the answer, and at least its mark is not spoken.
                self._until = _PAIRS.get(mark, "")
                self._begins = True
                return text[at + len(mark) :]
            if len(text) - at < _LONGEST and any(mark.startswith(here) for mark in _MARKS):
                self._held = text[at:]
                text = text[:at]
                break
        said.append(self._trimmed(text))
        return ""

    def _out_of_thought(self, text: str) -> str:
        found = re.search(re.escape(self._until), text, re.IGNORECASE | re.ASCII)
        if found is None:
            self._held = text[-(len(self._until) - 1) :]
            return ""
        self._until = ""
        self._begins = True
        return text[found.end() :]

    def _trimmed(self, text: str) -> str:
        if self._begins:
            bare = text.lstrip()
            self._gap = self._gap or bare != text
            if not bare:
                return ""
            text = f" {bare}" if self._gap and self._last and not self._last.isspace() else bare
            self._begins = self._gap = False
        self._last = text[-1:] or self._last
        return text
