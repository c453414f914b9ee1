"""The protocol of OpenAI's transcription: turns that the service ends."""

import pytest

from appliance.providers.stt.openai_talk import OpenAiTalk
from appliance.stages import Ended, Transcript
from tests.unit.stt.openai_words import complete, end, finals, read, said, sent, speak


def test_the_service_ends_a_turn_and_who_commits_it_is_answered_at_once() -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1)
    end(talk, "a")
    speak(talk, 1)
    complete(talk, "a", "Yes.")
    assert said(talk)[-2:] == [Transcript(1, "Yes.", final=True), Ended(1)]
    talk.commit(1)
    assert finals(talk) == [(1, "Yes.")] * 2
    assert sent(talk) == ["clear"], "the silence after it is nobody's"
    speak(talk, 2)
    talk.commit(2)
    assert sent(talk) == ["commit"]
    assert talk.post.awaited == {2}


def test_who_goes_on_after_a_pause_that_the_service_took_for_the_end_loses_no_word() -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1)
    end(talk, "a")
    complete(talk, "a", "Call")
    speak(talk, 1)
    end(talk, "b")
    complete(talk, "b", "nine")
    assert [event for event in said(talk) if isinstance(event, Ended)] == [Ended(1)] * 2
    speak(talk, 1)
    read(talk, "input_audio_buffer.speech_started", item_id="c")
    talk.commit(1)
    assert sent(talk) == ["commit"]
    read(talk, "input_audio_buffer.committed", item_id="c")
    complete(talk, "c", "four.")
    assert finals(talk) == [(1, "Call"), (1, "Call nine"), (1, "Call nine four.")]
    assert not talk.post.awaited


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_turn_that_the_service_splits_as_it_is_committed_is_read_whole(order: tuple[str, str]) -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1, frames=60)
    read(talk, "input_audio_buffer.speech_started", item_id="a")
    talk.commit(1)
    speak(talk, 2)
    talk.commit(2)
    read(talk, "input_audio_buffer.speech_stopped", item_id="a")
    read(talk, "input_audio_buffer.committed", item_id="a")
    read(talk, "input_audio_buffer.committed", item_id="b")
    read(talk, "input_audio_buffer.committed", item_id="c")
    texts = {"a": "Call nine", "b": "and then four."}
    for item in order:
        complete(talk, item, texts[item])
    complete(talk, "c", "Thanks.")
    assert finals(talk) == [(1, "Call nine and then four."), (2, "Thanks.")]
    assert not talk.post.awaited
    assert not talk.post.counts


def test_a_turn_that_the_service_ended_whole_as_it_was_committed_is_read_once() -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1)
    talk.commit(1)
    end(talk, "a")
    read(talk, "error", error={"code": "input_audio_buffer_commit_empty", "event_id": "commit_1"})
    assert finals(talk) == []
    complete(talk, "a", "Yes.")
    assert finals(talk) == [(1, "Yes.")]
    assert not talk.post.awaited


def test_a_service_that_tells_no_speech_is_committed_to_all_the_same() -> None:
    talk = OpenAiTalk(server_turns=True)
    speak(talk, 1)
    read(talk, "input_audio_buffer.committed", item_id="a")
    complete(talk, "a", "Call")
    speak(talk, 1)
    talk.commit(1)
    assert sent(talk) == ["commit"]
    read(talk, "input_audio_buffer.committed", item_id="b")
    complete(talk, "b", "nine.")
    assert finals(talk) == [(1, "Call"), (1, "Call nine.")]
