"""A text is cut into sentences that a voice can speak."""

import pytest

from appliance.sentences import LONGEST, LONGEST_TEXT, sentences


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("It is ten. Good night!", ["It is ten.", "Good night!"]),
        ("Dr. Smith paid 3.50 dollars.", ["Dr. Smith paid 3.50 dollars."]),
        ("At 7 a.m. it rings. Then it stops.", ["At 7 a.m. it rings.", "Then it stops."]),
        ("Really?! Yes... no.", ["Really?", "Yes.", "no."]),
        ("First line\n\nSecond line", ["First line", "Second line"]),
    ],
)
def test_sentences_end_where_a_speaker_would_pause(text: str, spoken: list[str]) -> None:
    assert list(sentences(text)) == spoken


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Bold** and `code`", ["Bold and code"]),
        ("<speak>hello</speak>", ["hello"]),
        ("See [the page](https://example.com/x?y=1).", ["See the page."]),
        ("Fine 😀", ["Fine"]),
        ("# Title\n- one\n- two", ["Title", "one", "two"]),
        ("```python\nprint(1)\n```done", ["done"]),
        ("\x1b\x00bell\x07", ["bell"]),
    ],
)
def test_what_only_an_eye_can_use_is_not_spoken(text: str, spoken: list[str]) -> None:
    assert list(sentences(text)) == spoken


@pytest.mark.parametrize("text", ["", "   ", "...", "😀", "***", "\n\n"])
def test_nothing_to_say_is_no_sentence(text: str) -> None:
    assert list(sentences(text)) == []


def test_a_long_sentence_is_cut_so_that_it_can_be_stopped() -> None:
    pieces = list(sentences("word, " * 400 + "end."))
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert pieces[-1].endswith("end.")


def test_an_endless_text_is_cut() -> None:
    assert sum(map(len, sentences("a" * 100_000))) <= LONGEST_TEXT
