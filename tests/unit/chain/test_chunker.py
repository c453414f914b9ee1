"""A model's text becomes pieces that can be spoken."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.providers.chain.chunker import HOLD_SECONDS, MOST, WIDE, Chunker


def pieces_of(*texts: str) -> list[str]:
    chunker = Chunker()
    pieces = [piece for text in texts for piece in chunker.add(text, 0.0)]
    return pieces + chunker.finish()


def test_the_first_sentence_is_spoken_as_soon_as_the_next_begins():
    chunker = Chunker()
    assert chunker.add("It is noon.", 0.0) == []
    assert chunker.add(" It", 0.0) == ["It is noon."]


def test_a_long_first_sentence_is_begun_at_a_comma():
    chunker = Chunker()
    assert chunker.add("If you take the first bus, you", 0.0) == ["If you take the first bus,"]


def test_later_pieces_hold_whole_sentences():
    pieces = pieces_of(
        "One thing. ", "Two. ", "Three, four. ", "And here comes a sentence of some more length. ", "End."
    )
    assert pieces[0] == "One thing."
    assert pieces[1] == "Two. Three, four. And here comes a sentence of some more length."
    assert pieces[2] == "End."


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith lives at St. James Street no. 7.",
        "It costs $3.50 or 1,000.25 euros.",
        "Meet me at 10 a.m. at the U.S. embassy e.g. today.",
        "J. R. Miller wrote it.",
        "1. Milk",
    ],
)
def test_abbreviations_numbers_and_initials_end_no_piece(text: str):
    chunker = Chunker(first=1_000)
    pieces = [piece for letter in text for piece in chunker.add(letter, 0.0)]
    assert pieces == []
    assert len(chunker.finish()) == 1


def test_a_number_that_comes_in_two_parts_is_not_torn():
    assert pieces_of("It costs $3", ".", "50 today. ", "Really.")[0] == "It costs $3.50 today."


def test_lists_headings_emphasis_links_and_pictures_are_read_as_words():
    text = "## Plan\n- **First** item\n- second _item_\n1. third\nSee [the page](https://example.org/a?b=c), ok 😀."
    said = " ".join(pieces_of(text))
    assert said == "Plan First item second item 1. third See the page, ok ."


def test_an_address_is_read_by_its_host():
    assert pieces_of("Look at https://www.example.org/a/b?c=d today.") == ["Look at example.org today."]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("42. That is the answer.", "42. That is the answer."),
        (
            "Everybody knows it ended in 1945. 1945. Not later.",
            "Everybody knows it ended in 1945. 1945. Not later.",
        ),
        ("5*4 is 20, and 2**3 is 8.", "5 × 4 is 20, and 2 ^ 3 is 8."),  # noqa: RUF001
        ("Open my_first_file now.", "Open my first file now."),
    ],
)
def test_numbers_and_names_are_not_taken_for_markup(text: str, spoken: str):
    assert " ".join(pieces_of(text)) == spoken
    assert " ".join(pieces_of(*text)) == spoken


def test_a_number_that_comes_after_a_pause_is_spoken():
    chunker = Chunker()
    pieces = chunker.add("The answer is ", 0.0) + chunker.overdue(HOLD_SECONDS)
    pieces += chunker.add("42. And what else?", 2.0) + chunker.finish()
    assert " ".join(pieces) == "The answer is 42. And what else?"


@pytest.mark.parametrize("text", ["می\u200cخواهم بروم", "क्\u200dष है"])  # noqa: RUF001
def test_what_shapes_a_word_stays_in_it(text: str):
    assert pieces_of(text) == [text]


def test_a_table_is_read_cell_by_cell():
    pieces = pieces_of("| Town | Miles |\n|---|---:|\n| Rome | 12 |\n")
    assert " ".join(pieces) == "Town, Miles Rome, 12"


def test_what_a_chat_template_left_is_not_spoken():
    assert pieces_of("<|im_start|>Good morning.<|im_end|>") == ["Good morning."]


def test_an_address_ends_where_its_sentence_does():
    assert (
        pieces_of("It is at https://example.org/a/b.html. Or see www.example.com/x.")[0]
        == "It is at example.org."
    )


@pytest.mark.slow
def test_a_long_answer_that_comes_at_once_holds_nothing_up():
    text = "This is a sentence of some words. " * 3_000
    began = time.process_time()
    pieces = pieces_of(text)
    assert time.process_time() - began < 10.0
    assert " ".join(pieces).split() == text.split()


def test_code_is_left_out_also_when_its_marks_come_in_parts():
    pieces = pieces_of("Try this:\n``", "`py", "thon\nprint('x. y. z.')\n`", "`` Then go on.")
    assert " ".join(pieces) == "Try this: Then go on."


def test_code_that_never_ends_is_not_spoken():
    assert pieces_of("Here. ", "```\nwhile True: pass") == ["Here."]


@pytest.mark.parametrize("text", ["", "   ", "...", "😀😀", "```x```", "**", "\n\n---\n"])
def test_what_nobody_can_speak_gives_no_piece(text: str):
    assert pieces_of(text) == []


def test_markup_for_voices_is_taken_out():
    assert pieces_of('<speak>Hello <break time="1s"/>you.</speak>') == ["Hello you."]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("你好。今天天气很好。我们走吧。", 3),
        ("مرحبا بك؟ كيف حالك اليوم؟ نعم.", 2),
        ("नमस्ते। आप कैसे हैं। ठीक।", 2),
    ],
)
def test_sentences_of_other_scripts_are_found(text: str, count: int):
    chunker = Chunker(least=1)
    pieces = [piece for letter in text for piece in chunker.add(letter, 0.0)]
    assert len(pieces) + len(chunker.finish()) >= count


def test_a_script_of_syllables_has_shorter_pieces():
    chunker = Chunker()
    assert chunker.add("我们今天下午可以去公园,", 0.0) == []
    assert chunker.add(" 然", 0.0) == ["我们今天下午可以去公园,"]
    pieces = pieces_of("我们今天下午可以去公园。" * 40)
    assert all(len(piece) <= MOST // WIDE for piece in pieces)
    assert "".join(pieces) == "我们今天下午可以去公园。" * 40


def test_a_text_without_any_end_is_cut_at_the_bound():
    pieces = pieces_of("word " * 400)
    assert all(len(piece) <= MOST for piece in pieces)
    assert " ".join(pieces).split() == ["word"] * 400


def test_ten_thousand_letters_without_a_blank_are_cut_too():
    pieces = pieces_of("x" * 10_000)
    assert all(len(piece) <= MOST for piece in pieces)
    assert "".join(pieces) == "x" * 10_000


def test_a_model_that_pauses_is_not_waited_for():
    chunker = Chunker()
    assert chunker.add("Let me look that up", 5.0) == []
    assert chunker.due() == 5.0 + HOLD_SECONDS
    assert chunker.overdue(5.0) == []
    assert chunker.overdue(5.0 + HOLD_SECONDS) == ["Let me look that"]
    assert chunker.finish() == ["up"]


def test_a_sentence_that_the_model_pauses_after_is_spoken_whole():
    chunker = Chunker()
    chunker.add("Let me check.", 0.0)
    assert chunker.overdue(HOLD_SECONDS) == ["Let me check."]
    assert chunker.due() is None


@pytest.mark.slow
@given(
    st.lists(
        st.sampled_from(["word", "Dr.", "3.5", "yes", "no,", "end.", "what?", "go!", "a;", "ça"]),
        max_size=200,
    ),
    st.lists(st.integers(1, 12), min_size=1, max_size=20),
)
def test_no_word_is_lost_and_no_piece_too_long_however_it_comes(words: list[str], cuts: list[int]):
    text = " ".join(words)
    chunker, pieces, place, turn = Chunker(), [], 0, 0
    while place < len(text):
        size = cuts[turn % len(cuts)]
        pieces += chunker.add(text[place : place + size], 0.0)
        place, turn = place + size, turn + 1
    pieces += chunker.finish()
    assert " ".join(pieces).split() == text.split()
    assert all(len(piece) <= MOST for piece in pieces)


@given(st.text(max_size=600))
def test_no_text_breaks_it(text: str):
    assert all(0 < len(piece) <= MOST for piece in pieces_of(*text))
