"""What a model is shown of a conversation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.interfaces import CalledTool, HistoryItem
from appliance.providers.chain.memory import Memory
from appliance.stages import AnswerCall, Said, ToolUse


def test_an_answer_grows_in_one_place():
    memory = Memory()
    memory.user("hi")
    memory.assistant("r1", "Good ")
    memory.assistant("r1", "morning.")
    assert memory.items() == (Said("user", "hi"), Said("assistant", "Good morning."))


def test_a_result_that_comes_at_once_stays_with_its_answer():
    memory = Memory()
    memory.user("time")
    memory.called(AnswerCall("c1", "get_time", "{}"))
    memory.settle("c1", '{"time": 1}')
    assert memory.items()[-1] == ToolUse("c1", "get_time", "{}", '{"time": 1}')


def test_a_result_that_comes_late_stands_at_the_end():
    memory = Memory()
    memory.user("search")
    memory.called(AnswerCall("c1", "search", "{}"))
    memory.user("and how are you")
    memory.assistant("r2", "Fine.")
    memory.settle("c1", "{}")
    assert isinstance(memory.items()[-1], ToolUse)


def test_results_of_calls_that_there_were_not_are_let_be():
    memory = Memory()
    memory.settle("nothing", "{}")
    assert memory.items() == ()


def test_a_restored_conversation_reads_as_it_was():
    memory = Memory()
    memory.restore(
        [
            HistoryItem("user", "time"),
            CalledTool("c1", "get_time", "{}", '{"time": 1}'),
            HistoryItem("assistant", "It is one.", "old"),
        ]
    )
    memory.rewrite("old", "It")
    kinds = [type(item) for item in memory.items()]
    assert kinds == [Said, ToolUse, Said]
    assert memory.items()[-1] == Said("assistant", "It")


def test_a_huge_result_is_shortened():
    memory = Memory(1_000)
    memory.user("search")
    memory.called(AnswerCall("c1", "search", "{}"))
    memory.settle("c1", "x" * 50_000)
    used = memory.items()[-1]
    assert isinstance(used, ToolUse)
    assert len(used.outcome) == 1_000


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "call"]), st.integers(1, 400)),
        min_size=1,
        max_size=120,
    )
)
def test_what_is_shown_keeps_within_its_bound_and_begins_with_the_person(steps: list[tuple[str, int]]):
    memory = Memory(2_000)
    for number, (kind, size) in enumerate(steps):
        if kind == "user":
            memory.user("u" * size)
        elif kind == "assistant":
            memory.assistant(f"r{number}", "a" * size)
        else:
            memory.called(AnswerCall(f"c{number}", "tool", "{}"))
            memory.settle(f"c{number}", "o" * size)
    items = memory.items()
    asked = [place for place, (kind, _) in enumerate(steps) if kind == "user"]
    newest = sum(size for _, size in steps[asked[-1] :]) if asked else sum(size for _, size in steps)
    shown = sum(len(item.text) if isinstance(item, Said) else len(item.outcome) + 2 for item in items)
    assert shown <= max(2_000, newest + 2 * len(steps))
    if memory.forgotten:
        assert isinstance(items[0], Said)
        assert items[0].role == "user"
