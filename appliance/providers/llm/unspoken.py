"""Takes out of a model's text what is not to be said: private thoughts, and calls that it writes as text. Pure.

<think>...</think>, <tool_call>...</tool_call> and their kin, as local models write them where their server does not
read them.
"""

import re
from typing import Final

TAGS: Final = ("think", "thinking", "thought", "thoughts", "reasoning", "tool_response")
"""The last one is an outcome that the model makes up."""
CALL_TAGS: Final = ("tool_call", "tool_calls", "function_call")
HIDDEN_BOUND: Final = 100_000
_NEVER: Final = "\x00"
"""Ends what reaches to the end of the answer."""
_THOUGHTS: Final = {
    **{f"<{tag}>": f"</{tag}>" for tag in TAGS},
    "[think]": "[/think]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel|>analysis": "<|channel|>final<|message|>",
}
_CALLS: Final = {
    **{f"<{tag}>": f"</{tag}>" for tag in CALL_TAGS},
    "<function=": "</function>",
    "<|tool_call|>": _NEVER,
    "<|python_tag|>": _NEVER,
    "[tool_calls]": _NEVER,
}
_PAIRS: Final = {**_THOUGHTS, **_CALLS}
_MARKS: Final = (*_PAIRS, *(end for end in _PAIRS.values() if end != _NEVER))
_STARTS: Final = frozenset(mark[0] for mark in _MARKS)
_LONGEST: Final = max(len(mark) for mark in _MARKS)


class UnspokenFilter:
    """Text goes in as it comes, chopped anywhere; what is to be said comes out, at most a mark's length late.

    `inside` at the beginning: the model's template has opened the thought already, and only its end will come. Thoughts
    that never end hide the rest. Of the blanks around what is hidden one is left, at the answer's beginning none.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self.written: list[str] = []
        """Calls, as the model wrote them between their marks; after `end` also one that was not closed."""
        self.unopened = False
        """A thought ended that had not begun: it was told as the answer."""
        self._held = ""
        self._until = "</think>" if inside else ""
        self._hidden: list[str] | None = None
        """Of the call that is being written."""
        self._begins = True
        """What comes next begins the answer, or goes on after what was hidden."""
        self._gap = False
        self._last = ""

    @property
    def calling(self) -> bool:
        """A call is being written."""
        return self._hidden is not None

    def feed(self, text: str) -> str:
        """Return what may be said of it, perhaps nothing."""
        text, self._held = self._held + text, ""
        said: list[str] = []
        while text:
            text = self._out_of_hidden(text) if self._until else self._said(text, said)
        return "".join(said)

    def end(self) -> str:
        """Return what was held back: it was no mark."""
        held, self._held = self._held, ""
        if not self._until:
            return self._trimmed(held)
        self._hide(held)
        self._close()
        return ""

    def _said(self, text: str, said: list[str]) -> str:
        """Move the text before the next mark to `said`; return what comes after the mark."""
        for at, character in enumerate(text):
            if character not in _STARTS:
                continue
            here = text[at : at + _LONGEST].lower()
            mark = max((mark for mark in _MARKS if here.startswith(mark)), key=len, default="")
            if mark:
                said.append(self._trimmed(text[:at]))
                # Of an end without a beginning at least the mark is not spoken.
                self._until = _PAIRS.get(mark, "")
                self.unopened |= mark in _THOUGHTS.values()
                self._hidden = [] if mark in _CALLS else None
                self._begins = True
                return text[at + len(mark) :]
            if len(text) - at < _LONGEST and any(mark.startswith(here) for mark in _MARKS):
                self._held = text[at:]
                text = text[:at]
                break
        said.append(self._trimmed(text))
        return ""

    def _out_of_hidden(self, text: str) -> str:
        found = re.search(re.escape(self._until), text, re.IGNORECASE | re.ASCII)
        if found is None:
            keep = len(text) - (len(self._until) - 1)
            self._hide(text[: max(0, keep)])
            self._held = text[max(0, keep) :]
            return ""
        self._hide(text[: found.start()])
        self._close()
        return text[found.end() :]

    def _hide(self, text: str) -> None:
        if self._hidden is not None and sum(map(len, self._hidden)) < HIDDEN_BOUND:
            self._hidden.append(text)

    def _close(self) -> None:
        if self._hidden is not None:
            self.written.append("".join(self._hidden))
        self._hidden = None
        self._until = ""
        self._begins = True

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
