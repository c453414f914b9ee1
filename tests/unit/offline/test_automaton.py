"""The least automaton accepts the sentences of its draft and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.providers.offline.automaton import Draft

sentences = st.sets(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5).map(" ".join), min_size=1, max_size=12
)


def draft_of(texts: set[str]) -> Draft:
    draft = Draft()
    for text in sorted(texts):
        here = draft.state()
        draft.free(draft.start, here)
        for word in text.split():
            there = draft.state()
            draft.word(here, word, there)
            here = there
        draft.free(here, draft.end)
    return draft


@pytest.mark.slow
@given(sentences, sentences)
def test_it_accepts_what_was_drawn_and_nothing_else(drawn: set[str], others: set[str]) -> None:
    automaton = draft_of(drawn).minimal()
    assert all(automaton.accepts(text) for text in drawn)
    assert not any(automaton.accepts(text) for text in others - drawn)


def test_equal_endings_share_their_states() -> None:
    automaton = draft_of({"a b c", "b b c", "c b c"}).minimal()
    assert len(automaton.arcs) == 4
