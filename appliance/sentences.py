"""Cuts a text into sentences that a voice can speak one by one, without what only an eye can use."""

# ruff: noqa: RUF001 - people type all kinds of quotation marks and signs

import re
from collections.abc import Iterator
from typing import Final

LONGEST: Final = 240
"""Characters a sentence: a longer one is cut at a comma or a blank, so that speech starts soon and ends
soon after a cancel."""
LONGEST_TEXT: Final = 8_000
_ABBREVIATIONS: Final = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "sr",
        "jr",
        "vs",
        "etc",
        "e.g",
        "i.e",
        "approx",
        "no",
        "fig",
        "inc",
        "ltd",
        "co",
        "dept",
        "est",
        "a.m",
        "p.m",
        "u.s",
        "u.k",
    ]
)
_SPOKEN: Final = (
    (re.compile(r"```.*?(```|$)", re.DOTALL), " "),
    (re.compile(r"!?\[([^\]]*)\]\([^()]*(?:\([^()]*\)[^()]*)*\)"), r"\1"),
    (re.compile(r"</?[A-Za-z][^<>]{0,200}>|<[|｜][^<>\n]{1,60}[|｜]>"), " "),
    (
        re.compile(r"\b(?:https?://(?:www\.)?|www\.)([^\s/?#]+?)(?:[/?#]\S*?)?(?=[.,;:!?)\]\"'”’]*(?:\s|$))"),
        r"\1",
    ),
    (re.compile(r"&(?:amp|#38);"), "&"),
    (re.compile(r"&(?:lt|gt|nbsp|#160);"), " "),
    (re.compile(r"&(?:quot|#34);"), '"'),
    (re.compile(r"&(?:apos|#39);"), "'"),
    # The line between a table's head and its rows; then the bars between its cells.
    (re.compile(r"^[ \t]*\|?[ \t]*:?-{2,}[-:| \t]*$", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*\|+[ \t]*|[ \t]*\|+[ \t]*$", re.MULTILINE), ""),
    (re.compile(r"[ \t]*\|+[ \t]*"), ", "),
    # Numbers stay: "42. That is all." begins as a list does, and a list may be read with its numbers.
    (re.compile(r"^\s{0,3}(?:#{1,6}|[-*+•>])\s+", re.MULTILINE), ""),
    (re.compile(r"(?<=\d)\s?\*\s?(?=\d)"), " × "),
    (re.compile(r"(?<=\d)\s?\*\*\s?(?=\d)"), " ^ "),
    (re.compile(r"(?<=[^\W_])_+(?=[^\W_])"), " "),
    (re.compile(r"[*_`~]{1,3}(?=\S)|(?<=\S)[*_`~]{1,3}"), ""),
    (re.compile(r"[\U0001F000-\U0001FAFF\u2300-\u23FF\u2600-\u27BF\u2B00-\u2BFF]"), " "),
    (
        re.compile(r"[\u200E\u200F\u202A-\u202E\u2060\u2066-\u2069\u20E3\uFE00-\uFE0F\U000E0020-\U000E007F]"),
        "",
    ),
    # Within a word they shape it, as in Persian and Hindi; what is left of an emoji's does not.
    (re.compile(r"(?:(?<=\s)|^)[\u200B-\u200D]+|[\u200B-\u200D]+(?=\s|$)"), ""),
    (re.compile(r"[\x00-\x08\x0b-\x1f\x7f]"), " "),
    (re.compile(r"([.!?…])[.!?…]+"), r"\1"),
)
_END: Final = re.compile(r"[.!?…؟।॥።]+[\"'”’)\]]*(?=\s|$)|\n\s*\n?|[。！？]+[”’」』）]*")
_NUMBERED: Final = re.compile(r"(?:^|\n)\s*\d{1,3}$")


def speakable(text: str) -> str:
    """`text` without markup, emoji, addresses' tails and control characters, cut at LONGEST_TEXT."""
    text = text[:LONGEST_TEXT]
    for pattern, replacement in _SPOKEN:
        text = pattern.sub(replacement, text)
    return re.sub(r"[ \t]+", " ", text).strip()


def sentences(text: str) -> Iterator[str]:
    """The sentences of `text`, ready for a voice; decimals and abbreviations do not end one."""
    text = speakable(text)
    start = 0
    for end in sentence_ends(text):
        yield from _portions(text[start:end])
        start = end
    yield from _portions(text[start:])


def sentence_ends(text: str, *, more: bool = False) -> Iterator[int]:
    """Where the sentences of `text` end. With `more` to come, an end that the next character may undo is none yet."""
    for found in _END.finditer(text):
        dot = text[found.start()] == "."
        if more and dot and not text[found.end() :].strip():
            continue
        if more and found.end() == len(text) and text[found.start()] not in "\n。！？":
            continue
        if not _abbreviated(text, found.start()) and not (dot and _NUMBERED.search(text[: found.start()])):
            yield found.end()


def _abbreviated(text: str, dot: int) -> bool:
    if text[dot] != ".":
        return False
    word = text[:dot].rsplit(None, 1)[-1].lower().lstrip("(\"'") if text[:dot].strip() else ""
    ends = not text[dot + 1 :].strip()
    initial = len(word) == 1 and word.isalpha() and word != "i"
    return not ends and (word in _ABBREVIATIONS or initial)


def _portions(sentence: str) -> Iterator[str]:
    sentence = " ".join(sentence.split())
    while len(sentence) > LONGEST:
        cut = max(sentence.rfind(mark, 40, LONGEST) for mark in (", ", "; ", ": "))
        cut = cut + 1 if cut > 0 else sentence.rfind(" ", 1, LONGEST)
        cut = cut if cut > 0 else LONGEST
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if any(character.isalnum() for character in sentence):
        yield sentence
