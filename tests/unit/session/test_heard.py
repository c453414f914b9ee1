"""How much of a text was heard, by what of its sound was."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.session.heard import SpokenText


class TestSpokenText:
    def test_nothing_was_heard_at_the_start(self):
        spoken = SpokenText()
        spoken.add("Hello there.", 0)
        spoken.add_audio(1000)
        assert spoken.heard(0) == ""

    def test_all_was_heard_at_the_end(self):
        spoken = SpokenText()
        spoken.add("Hello there. ", 0)
        spoken.add("How are you?", 1000)
        spoken.add_audio(2000)
        spoken.complete = True
        assert spoken.heard(2000) == "Hello there. How are you?"

    def test_inside_a_piece_it_is_by_proportion_and_in_whole_words(self):
        spoken = SpokenText()
        spoken.add("aaaa bbbb cccc dddd", 0)
        spoken.add_audio(1900)
        spoken.complete = True
        assert spoken.heard(400) == "aaaa"
        assert spoken.heard(890) == "aaaa"
        assert spoken.heard(900) == "aaaa bbbb"

    def test_a_sentence_whose_audio_is_still_coming_was_not_heard_whole(self):
        spoken = SpokenText()
        spoken.add("This is a sentence of fifty characters, as it were.", 0)
        spoken.add_audio(200)
        assert spoken.heard(200) == "This"
        assert len(spoken.heard(1000)) < 30

    def test_text_that_comes_without_a_place_of_its_own_belongs_to_the_piece_before(self):
        spoken = SpokenText()
        spoken.add("One ", 0)
        spoken.add("two ", 0)
        spoken.add("three", 500)
        spoken.add("", 900)
        spoken.add_audio(1000)
        spoken.complete = True
        assert spoken.heard(500) == "One two"
        assert spoken.text == "One two three"

    @pytest.mark.slow
    @given(
        st.lists(st.tuples(st.text("ab ", min_size=1, max_size=20), st.floats(0, 5000)), max_size=8),
        st.lists(st.floats(0, 6000), min_size=2, max_size=5),
    )
    def test_what_was_heard_only_grows_and_is_the_beginning_of_the_text(self, pieces, times):
        spoken = SpokenText()
        for text, at in pieces:
            spoken.add(text, at)
        spoken.add_audio(5500)
        spoken.complete = True
        heard = [spoken.heard(at) for at in sorted(times)]
        assert all(later.startswith(sooner) for sooner, later in itertools.pairwise(heard))
        assert all(spoken.text.strip().startswith(part) for part in heard)
