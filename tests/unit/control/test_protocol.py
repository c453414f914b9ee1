"""The language of the control API, without a socket."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.control import protocol
from appliance.control.protocol import COMMANDS, TOPICS, Malformed, Refusal, Request, Scope
from appliance.errors import Forbidden
from appliance.events import MetricsMeasured

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELD_NAMES = sorted({name for command in COMMANDS.values() for name in command.fields} | {"id", "type"})
COMMAND_LIKE = st.builds(
    lambda command, fields, extra: {**extra, **fields, "type": command},
    st.sampled_from(sorted(COMMANDS)),
    st.dictionaries(
        st.sampled_from(FIELD_NAMES),
        JSON | st.sampled_from([16000, True, "room", "c1", ["call."]]),
        max_size=5,
    ),
    st.dictionaries(st.text(), JSON, max_size=1),
)


def outcome(message):
    try:
        return protocol.parse(message)
    except Malformed as malformed:
        return malformed


@given(st.text())
@example("\ud800")
@example('{"type":"ping","id":"\\ud800"}')
@example("[" * 200_000)
@example('{"a":' * 50_000)
@example('{"type":"ping","id":1e999}')
@example('{"type":"volume","id":"1","level":' + "9" * 4_000 + "}")
def test_any_text_is_a_request_a_refusal_or_malformed(text):
    assert isinstance(outcome(text), Request | Refusal | Malformed)


@pytest.mark.slow
@given(JSON)
def test_any_json_is_a_request_a_refusal_or_malformed(body):
    assert isinstance(outcome(json.dumps(body)), Request | Refusal | Malformed)


@pytest.mark.slow
@given(COMMAND_LIKE)
def test_anything_like_a_command_is_answered_in_strict_json(body):
    found = outcome(json.dumps(body))
    if isinstance(found, Refusal):
        answer = json.loads(protocol.failure(found.id, found.error).encode(), parse_constant=pytest.fail)
        assert answer["code"]
        assert answer["message"]
    elif isinstance(found, Request):
        assert found.fields.keys() == COMMANDS[found.command].fields.keys()


@pytest.mark.slow
@given(JSON)
def test_any_data_can_be_encoded_as_strict_json(data):
    text = protocol.encode({"data": data})
    json.loads(text.encode(), parse_constant=pytest.fail)


def test_a_metric_that_is_no_number_becomes_null():
    event = MetricsMeasured(at=1.0, counters={"a": float("nan"), "b": 2.0})
    assert json.loads(protocol.event(event))["counters"] == {"a": None, "b": 2.0}


def test_defaults_are_filled_in():
    request = protocol.parse('{"type":"session.open","id":"1"}')
    assert request == Request(
        "session.open", "1", {"line": "client", "sample_rate": 16000, "agent": "", "user": ""}
    )


def test_every_scope_includes_those_before_it_and_no_other():
    order = list(Scope)
    for place, scope in enumerate(order):
        assert [scope.includes(other) for other in order] == [number <= place for number in range(len(order))]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_needs_its_own_scope(command):
    request = Request(command, "1")
    needed = COMMANDS[command].scope
    protocol.authorize(request, needed)
    protocol.authorize(request, Scope.ADMIN)
    if needed is not Scope.OBSERVE:
        with pytest.raises(Forbidden):
            protocol.authorize(request, Scope.OBSERVE)


def test_the_topics_are_the_events_of_the_contract():
    contract = """session.state turn speech.started speech.stopped transcript interrupted agent tool.call tool.result
        tool.cancel notification registration call dtmf recording mute volume button hook device provider latency
        usage audio.level metrics warning error"""
    assert set(contract.split()) <= set(TOPICS)


def test_the_commands_are_those_of_the_contract():
    contract = """ping status subscribe session.open session.close session.interrupt text say notify agent.transfer
        behaviour.set mute volume ptt.press ptt.release call.dial call.answer call.reject call.hangup call.hold
        call.resume call.transfer call.dtmf call.record history.list history.get history.calls config.reload diagnose"""
    assert set(contract.split()) <= set(COMMANDS)


@pytest.mark.parametrize(
    ("body", "told", "hint"),
    [
        (
            {"type": "subscribe", "topics": "call"},
            "`topics` of the command subscribe",
            '["call.", "transcript"]',
        ),
        ({"type": "text", "text": ""}, "`text` of the command text must be a text, and not empty", "docs/"),
    ],
)
def test_a_wrong_field_is_told_with_a_hint(body, told, hint):
    refused = protocol.parse(json.dumps({"id": "1", **body}))
    assert isinstance(refused, Refusal)
    assert told in refused.error.message
    assert hint in refused.error.hint
