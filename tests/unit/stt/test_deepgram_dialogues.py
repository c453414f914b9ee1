"""What Deepgram's messages mean for the turns that were sent: by the clock of the sound, without a socket."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.providers.stt.deepgram_flux_turns import FluxDialogue
from appliance.providers.stt.deepgram_nova import NovaDialogue
from appliance.providers.stt.deepgram_turns import LONGEST_FINAL, Control, Dialogue
from appliance.stages import EagerEnd, Ended, Spent, Transcript, TurnResumed


def results(
    start: float,
    end: float,
    text: str,
    *,
    final: bool = True,
    words: list[tuple[str, float, float]] | None = None,
    **more: Any,
) -> str:
    alternative: dict[str, Any] = {"transcript": text}
    if words is not None:
        alternative["words"] = [{"word": word, "start": begin, "end": until} for word, begin, until in words]
    return json.dumps(
        {
            "type": "Results",
            "start": start,
            "duration": end - start,
            "is_final": final,
            "channel": {"alternatives": [alternative]},
            **more,
        }
    )


def turn_info(event: str, index: int, until: float, text: str, **more: Any) -> str:
    return json.dumps(
        {
            "type": "TurnInfo",
            "event": event,
            "turn_index": index,
            "audio_window_start": 0.0,
            "audio_window_end": until,
            "transcript": text,
            **more,
        }
    )


def told(dialogue: Dialogue) -> list[Any]:
    """All but what was charged."""
    events = [one for one in dialogue.events if not isinstance(one, Spent)]
    dialogue.events.clear()
    return events


def sent(dialogue: Dialogue) -> list[Control]:
    controls = list(dialogue.outbox)
    dialogue.outbox.clear()
    return controls


class TestNova:
    def test_a_result_belongs_to_the_turn_whose_seconds_it_covers(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 2.0)
        nova.commit(1, 0.0)
        nova.hear(2, 2.0)
        nova.take(results(2.0, 3.0, "second", final=False), 0.1)
        nova.take(results(0.0, 2.0, "first", from_finalize=True), 0.1)
        assert told(nova) == [
            Transcript(1, "", True),
            Transcript(2, "second", False),
        ], "a later result says that the service is beyond turn 1; what comes of it then is late"
        assert nova.counts["late"] == 1

    def test_a_result_over_the_border_of_two_turns_is_shared_out_by_its_words(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 1.0)
        nova.commit(1, 0.0)
        nova.hear(2, 1.0)
        words = [("one", 0.2, 0.5), ("two", 0.8, 1.1), ("three", 1.3, 1.8)]
        nova.take(results(0.0, 2.0, "one two three", words=words), 0.1)
        nova.commit(2, 0.2)
        nova.take(results(2.0, 2.0, "", from_finalize=True), 0.3)
        finals = [one for one in told(nova) if one.final]
        assert finals == [Transcript(1, "one two", True), Transcript(2, "three", True)]

    def test_the_end_of_a_window_beside_the_border_gives_the_next_turn_nothing(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 1.0)
        nova.commit(1, 0.0)
        nova.hear(2, 1.0)
        nova.take(results(0.0, 1.06, "first", from_finalize=True), 0.1)
        assert told(nova) == [Transcript(1, "first", False), Transcript(1, "first", True)]

    def test_an_answer_to_finalize_that_ends_early_is_still_that_answer(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 3.0)
        nova.commit(1, 0.0)
        nova.take(results(0.0, 2.8, "first", from_finalize=True), 0.1)
        assert told(nova)[-1] == Transcript(1, "first", True)

    def test_an_answer_to_an_old_finalize_does_not_end_the_next_turn(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 1.0)
        nova.discard(1)
        nova.hear(2, 1.0)
        nova.commit(2, 0.0)
        assert sent(nova) == [Control.FINALIZE, Control.FINALIZE]
        nova.take(results(0.0, 1.0, "cough", from_finalize=True), 0.1)
        assert told(nova) == []
        nova.take(results(1.0, 2.0, "hello", from_finalize=True), 0.2)
        assert told(nova)[-1] == Transcript(2, "hello", True)

    def test_finals_are_told_in_the_order_of_the_turns(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 1.0)
        nova.commit(1, 0.0)
        nova.commit(2, 0.0)
        assert told(nova) == [], "turn 2 has nothing in it, but turn 1 is not understood yet"
        nova.take(results(0.0, 1.0, "first", from_finalize=True), 0.1)
        assert [one for one in told(nova) if one.final] == [
            Transcript(1, "first", True),
            Transcript(2, "", True),
        ]

    def test_the_deadline_moves_while_the_service_catches_up_but_not_for_ever(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 30.0)
        nova.commit(1, 100.0)
        first = nova.due
        assert first is not None
        now = 100.0
        while nova.due is not None and now < 120.0:
            now += 0.5
            nova.take(results(0.0, now - 99.0, "on", final=False), now)
            nova.expire(now)
        assert 100.0 + LONGEST_FINAL - 0.5 <= now <= 100.0 + LONGEST_FINAL + 0.5
        assert now > first
        assert told(nova)[-1] == Transcript(1, "on", True)
        assert nova.counts["overdue"] == 1

    def test_what_is_charged_is_every_second_once(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 1.0)
        nova.discard(1)
        nova.hear(2, 2.0)
        nova.commit(2, 0.0)
        nova.take(results(1.0, 3.0, "", from_finalize=True), 0.1)
        assert [one.seconds for one in nova.events if isinstance(one, Spent)] == [1.0, 2.0]

    def test_a_pause_ends_a_turn_only_where_something_was_said(self) -> None:
        nova = NovaDialogue(server_turns=True)
        nova.hear(1, 2.0)
        nova.take(results(0.0, 1.0, "", speech_final=True), 0.1)
        assert told(nova) == []
        nova.take(results(1.0, 1.8, "yes", speech_final=True), 0.1)
        assert told(nova) == [Transcript(1, "yes", False), Transcript(1, "yes", True), Ended(1)]

    def test_the_gap_between_words_counts_only_where_no_pause_did(self) -> None:
        nova = NovaDialogue(server_turns=True)
        nova.hear(1, 3.0)
        nova.take(results(0.0, 1.0, "yes", speech_final=True), 0.1)
        assert told(nova)[-1] == Ended(1)
        nova.take('{"type": "UtteranceEnd", "last_word_end": 0.9}', 0.2)
        assert told(nova) == []
        nova.take(results(1.0, 2.0, "and no"), 0.3)
        nova.take('{"type": "UtteranceEnd", "last_word_end": 1.9}', 0.4)
        assert told(nova) == [
            Transcript(1, "yes and no", False),
            Transcript(1, "yes and no", True),
            Ended(1),
        ]

    def test_whoever_commits_a_turn_that_the_service_has_ended_is_answered_once(self) -> None:
        nova = NovaDialogue(server_turns=True)
        nova.hear(1, 1.0)
        nova.take(results(0.0, 1.0, "yes", speech_final=True), 0.1)
        told(nova)
        nova.commit(1, 0.2)
        nova.commit(1, 0.3)
        assert told(nova) == [Transcript(1, "yes", True)]
        assert sent(nova) == []

    def test_pauses_are_not_told_where_the_device_ends_turns(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 2.0)
        nova.take(results(0.0, 1.8, "yes", speech_final=True), 0.1)
        nova.take('{"type": "UtteranceEnd", "last_word_end": 1.5}', 0.2)
        assert told(nova) == [Transcript(1, "yes", False)]

    def test_a_text_that_nobody_can_write_becomes_one(self) -> None:
        nova = NovaDialogue(server_turns=False)
        nova.hear(1, 1.0)
        nova.commit(1, 0.0)
        nova.take(results(0.0, 1.0, "so \ud800 so", from_finalize=True), 0.1)
        assert told(nova)[-1] == Transcript(1, "so ? so", True)


class TestFlux:
    def test_a_turn_of_the_service_belongs_to_the_turn_in_which_it_begins(self) -> None:
        flux = FluxDialogue(server_turns=False)
        flux.hear(1, 2.0)
        flux.take(turn_info("StartOfTurn", 0, 0.6, "first"), 0.0)
        flux.commit(1, 0.1)
        flux.hear(2, 1.0)
        flux.take(turn_info("EndOfTurn", 0, 2.1, "first one", trigger="manual"), 0.2)
        flux.take(turn_info("StartOfTurn", 1, 2.5, "second"), 0.3)
        assert told(flux) == [
            Transcript(1, "first", False),
            Transcript(1, "first one", True),
            Transcript(2, "second", False),
        ]

    def test_several_turns_of_the_service_may_be_one_of_ours(self) -> None:
        flux = FluxDialogue(server_turns=False)
        flux.hear(1, 5.0)
        flux.take(turn_info("EndOfTurn", 0, 1.0, "one", trigger="timeout"), 0.0)
        flux.take(turn_info("StartOfTurn", 1, 3.0, "two"), 0.1)
        flux.commit(1, 0.2)
        flux.take(turn_info("EndOfTurn", 1, 5.0, "two", trigger="manual"), 0.3)
        assert told(flux)[-1] == Transcript(1, "one two", True)

    def test_an_end_that_the_service_found_after_the_last_word_is_the_end(self) -> None:
        flux = FluxDialogue(server_turns=True)
        flux.hear(1, 2.0)
        flux.take(turn_info("StartOfTurn", 0, 1.0, "one"), 0.0)
        flux.commit(1, 0.1)
        flux.fill(0.1)
        flux.take(turn_info("EndOfTurn", 0, 2.1, "one two", trigger="model"), 0.2)
        assert told(flux)[-1] == Transcript(1, "one two", True)
        assert not flux.filling
        assert sent(flux) == []

    def test_an_end_that_crosses_the_commit_leaves_what_was_said_after_it(self) -> None:
        flux = FluxDialogue(server_turns=False)
        flux.hear(1, 5.0)
        flux.take(turn_info("StartOfTurn", 0, 1.0, "one"), 0.0)
        flux.commit(1, 0.1)
        flux.take(turn_info("EndOfTurn", 0, 3.0, "one", trigger="timeout"), 0.2)
        assert not [one for one in told(flux) if one.final]
        flux.take(turn_info("StartOfTurn", 1, 4.5, "two"), 0.3)
        flux.take(turn_info("EndOfTurn", 1, 5.0, "two", trigger="manual"), 0.4)
        assert told(flux)[-1] == Transcript(1, "one two", True)

    def test_a_turn_that_begins_after_it_was_to_end_is_ended_again(self) -> None:
        flux = FluxDialogue(server_turns=False)
        flux.hear(1, 0.4)
        flux.commit(1, 0.0)
        assert sent(flux) == [Control.FORCE_END_TURN]
        flux.take(turn_info("StartOfTurn", 0, 0.4, "yes"), 0.1)
        assert sent(flux) == [Control.FORCE_END_TURN]
        flux.take(turn_info("EndOfTurn", 0, 0.4, "yes", trigger="manual"), 0.2)
        assert told(flux)[-1] == Transcript(1, "yes", True)

    def test_silence_that_was_heard_to_its_end_is_not_waited_for(self) -> None:
        flux = FluxDialogue(server_turns=False)
        flux.hear(1, 1.0)
        flux.commit(1, 10.0)
        waits = flux.due
        flux.take(turn_info("Update", 0, 0.9, ""), 10.1)
        assert waits is not None
        assert flux.due is not None
        assert flux.due < waits
        flux.expire(flux.due)
        assert told(flux) == [Transcript(1, "", True)]

    def test_the_eager_end_names_all_that_was_said(self) -> None:
        flux = FluxDialogue(server_turns=True)
        flux.hear(1, 5.0)
        flux.take(turn_info("StartOfTurn", 0, 1.0, "one"), 0.0)
        flux.take(turn_info("EagerEndOfTurn", 0, 2.0, "one two"), 0.0)
        flux.take(turn_info("TurnResumed", 0, 2.5, "one two"), 0.0)
        flux.take(turn_info("EndOfTurn", 0, 4.0, "one two three", trigger="model"), 0.0)
        assert told(flux) == [
            Transcript(1, "one", False),
            Transcript(1, "one two", False),
            EagerEnd(1, "one two"),
            TurnResumed(1),
            Transcript(1, "one two three", True),
            Ended(1),
        ]

    def test_nothing_eager_is_told_of_a_turn_that_is_committed_or_discarded(self) -> None:
        flux = FluxDialogue(server_turns=True)
        flux.hear(1, 2.0)
        flux.take(turn_info("StartOfTurn", 0, 1.0, "one"), 0.0)
        flux.commit(1, 0.1)
        told(flux)
        flux.take(turn_info("EagerEndOfTurn", 0, 2.0, "one"), 0.2)
        assert told(flux) == []
        flux.discard(1)
        flux.take(turn_info("EndOfTurn", 0, 2.1, "one", trigger="model"), 0.3)
        assert told(flux) == []

    def test_an_old_turn_of_the_service_changes_nothing(self) -> None:
        flux = FluxDialogue(server_turns=False)
        flux.hear(1, 2.0)
        flux.take(turn_info("StartOfTurn", 3, 1.0, "one"), 0.0)
        flux.take(turn_info("Update", 2, 1.2, "rubbish"), 0.0)
        assert told(flux) == [Transcript(1, "one", False)]
        assert flux.counts["late"] == 1

    def test_no_silence_is_filled_in_for_a_turn_in_which_nobody_speaks(self) -> None:
        flux = FluxDialogue(server_turns=True)
        flux.hear(1, 1.0)
        flux.take(turn_info("Update", 0, 0.9, ""), 0.0)
        flux.commit(1, 0.1)
        assert not flux.filling
        flux.hear(2, 1.0)
        flux.take(turn_info("StartOfTurn", 0, 1.6, "one"), 0.2)
        flux.commit(2, 0.3)
        assert flux.filling


DIALOGUES = pytest.mark.parametrize("server_turns", [False, True])
NUMBERS = st.one_of(
    st.floats(0, 8),
    st.floats(),
    st.integers(-3, 3),
    st.integers(),
    st.none(),
    st.text(max_size=3),
    st.booleans(),
)
TEXTS = st.one_of(st.sampled_from(["", "one", "one two", " "]), st.none(), st.integers())
MESSAGES = st.one_of(
    st.builds(
        lambda start, duration, said, final, more, words: json.dumps(
            {
                "type": "Results",
                "start": start,
                "duration": duration,
                "is_final": final,
                "channel": {"alternatives": [{"transcript": said, "words": words}]},
                **more,
            }
        ),
        NUMBERS,
        NUMBERS,
        TEXTS,
        st.booleans(),
        st.dictionaries(st.sampled_from(["speech_final", "from_finalize"]), st.booleans()),
        st.one_of(
            st.none(),
            st.lists(st.dictionaries(st.sampled_from(["word", "start", "end"]), NUMBERS), max_size=3),
        ),
    ),
    st.builds(
        turn_info,
        st.sampled_from(["StartOfTurn", "Update", "EagerEndOfTurn", "TurnResumed", "EndOfTurn", "Novelty"]),
        NUMBERS,
        NUMBERS,
        TEXTS,
    ),
    st.builds(lambda end: json.dumps({"type": "UtteranceEnd", "last_word_end": end}), NUMBERS),
    st.text(max_size=20),
    st.binary(max_size=20),
)
ACTS = st.one_of(
    st.tuples(st.just("hear"), st.integers(1, 4)),
    st.tuples(st.just("commit"), st.integers(1, 4)),
    st.tuples(st.just("discard"), st.integers(1, 4)),
    st.tuples(st.just("take"), MESSAGES),
    st.tuples(st.just("expire"), st.none()),
)


@pytest.mark.slow
@DIALOGUES
@pytest.mark.parametrize("kind", [NovaDialogue, FluxDialogue])
@settings(max_examples=100, deadline=None)
@given(acts=st.lists(ACTS, max_size=40))
def test_whatever_happens_each_committed_turn_is_told_once_and_in_order(
    kind: type[NovaDialogue] | type[FluxDialogue], server_turns: bool, acts: list[tuple[str, Any]]
) -> None:
    """Turns are numbered upwards, as the chain does it; each is committed or discarded at most once."""
    dialogue = kind(server_turns=server_turns)
    now, newest, over = 0.0, 1, set[int]()
    committed: list[int] = []
    for act, what in acts:
        now += 0.1
        match act:
            case "hear" if what >= newest and what not in over:
                newest = what
                dialogue.hear(what, 0.5)
            case "commit" if what >= newest and what not in over:
                newest = what
                over.add(what)
                committed.append(what)
                dialogue.commit(what, now)
            case "discard" if what not in committed:
                over.add(what)
                dialogue.discard(what)
            case "take":
                dialogue.take(what, now)
            case "expire":
                dialogue.expire(now)
    for _ in range(20):
        if dialogue.due is not None:
            dialogue.expire(dialogue.due)
    assert dialogue.due is None, "nothing is waited for any more"
    finals = [one.turn for one in dialogue.events if isinstance(one, Transcript) and one.final]
    assert finals == sorted(finals)
    assert set(committed) <= set(finals)
    if not server_turns:
        assert finals == committed
    for turn in over - set(committed):
        assert finals.count(turn) <= (len(finals) if server_turns else 0)
