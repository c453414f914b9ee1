import json
import re
from pathlib import Path

import pytest

from appliance.control.mqtt_topics import COMMANDS, EVENTS, base_of, command_of, discovery, event_of, state_of
from appliance.control.protocol import Request, Scope, authorize, parse
from appliance.events import CallChanged, Transcript

SNAPSHOT = {
    "sessions": [{"turn_state": "idle"}, {"turn_state": "speaking"}],
    "providers": {"openai": {"sessions": []}, "offline": {"sessions": ["s-1"]}},
    "calls": [{"id": "c1"}],
    "mute": True,
    "volume": 60,
    "telephone": {"state": "listening"},
    "registration": {"state": "registered"},
    "ready": True,
    "reasons": [],
    "at": 1.5,
    "counters": {"uptime_seconds": 9},
}


def test_the_state_is_short_and_the_same_while_nothing_changed():
    state = state_of(SNAPSHOT, "0.2.0")
    assert (state["state"], state["mute"], state["volume"], state["in_call"]) == ("speaking", "ON", 60, "ON")
    assert (state["provider"], state["registration"], state["problem"]) == ("offline", "registered", "OFF")
    assert state_of({**SNAPSHOT, "at": 9.9, "counters": {}}, "0.2.0") == state


def test_the_documents_name_what_the_state_has_and_what_can_be_set():
    page = (Path(__file__).parents[3] / "docs/operations.md").read_text("utf-8")
    (state,) = re.findall(r"^\| `state` \| JSON, kept: (.*) \|$", page, re.MULTILINE)
    assert set(re.findall("`([a-z_]+)`", state)) == state_of({}, "0.2.0").keys()
    (keys,) = re.findall(r"^\| (`set/.*?`) \|", page, re.MULTILINE)
    assert set(re.findall("`set/([a-z_]+)`", keys)) == COMMANDS.keys()


def test_an_appliance_that_has_nothing_yet_has_a_state():
    assert state_of({}, "0.2.0")["state"] == "idle"


@pytest.mark.parametrize(
    ("key", "payload", "command"),
    [
        ("mute", b"ON", {"type": "mute", "line": "room", "on": True}),
        ("mute", b" off\n", {"type": "mute", "line": "room", "on": False}),
        ("volume", b"60.4", {"type": "volume", "line": "room", "level": 60}),
        ("say", "Grüß Gott".encode(), {"type": "say", "line": "room", "text": "Grüß Gott"}),
        ("dial", b" 201 ", {"type": "call.dial", "to": "201"}),
        ("hang_up", b"PRESS", {"type": "call.hangup"}),
        ("mute", b"perhaps", None),
        ("volume", b"nan", None),
        ("volume", b"inf", None),
        ("say", b"\xff\xfe", None),
        ("say", b"x" * 5000, None),
        ("reboot", b"ON", None),
        ("", b"", None),
    ],
)
def test_a_payload_is_a_command_of_the_control_api_or_none(key, payload, command):
    assert command_of(key, payload) == command
    if command is not None:
        request = parse(json.dumps({"id": "1", **command}))
        assert isinstance(request, Request)
        authorize(request, Scope.CONTROL)


def test_what_was_said_keyed_in_or_done_with_tools_is_never_told():
    assert event_of(Transcript(turn=1, role="user", text="my secret", final=True)) is None
    assert not EVENTS & {"transcript", "tool.call", "tool.result", "notification", "dtmf"}


def test_an_event_has_a_topic_of_its_own():
    told = event_of(CallChanged(call="c1", direction="in", state="incoming", peer="sip:201@pbx"))
    assert told is not None
    assert told[0] == "event/call"
    assert json.loads(told[1])["state"] == "incoming"


def test_a_name_makes_no_level_and_no_wildcard():
    assert base_of("handset", "flat 3/#+ kitchen") == "handset/flat-3-kitchen"
    assert base_of("handset", "/") == "handset/handset"


def test_home_assistant_is_told_one_device_whose_topics_are_ours():
    topic, payload = discovery("homeassistant", "handset/kitchen", "kitchen", "0.2.0")
    assert topic == "homeassistant/device/handset_kitchen/config"
    body = json.loads(payload)
    components = body["components"].values()
    identifiers = [component["unique_id"] for component in components]
    assert len(set(identifiers)) == len(identifiers)
    state = state_of(SNAPSHOT, "0.2.0")
    for component in components:
        if "value_template" in component:
            assert component["value_template"].split(".")[1].split()[0] in state
        if "command_topic" in component:
            key = component["command_topic"].removeprefix("handset/kitchen/set/")
            assert command_of(key, b"50" if key == "volume" else b"ON") is not None


SHARED = {"platform", "unique_id", "name", "icon", "entity_category"}
READ = {"state_topic", "value_template"}
PLATFORMS: dict[str, tuple[set[str], set[str]]] = {
    "sensor": ({"state_topic"}, READ),
    "binary_sensor": ({"state_topic"}, {*READ, "device_class", "json_attributes_topic"}),
    "switch": ({"command_topic"}, {*READ, "command_topic"}),
    "number": ({"command_topic"}, {*READ, "command_topic", "min", "max"}),
    "notify": ({"command_topic"}, {"command_topic"}),
    "button": ({"command_topic"}, {"command_topic"}),
}
"""Of Home Assistant's MQTT platforms: what each must have, and what else of it is used here."""


def test_home_assistant_finds_in_it_what_its_schema_asks_for_and_nothing_that_it_refuses():
    _, payload = discovery("homeassistant", "handset/kitchen", "kitchen", "0.2.0")
    body = json.loads(payload)
    assert set(body) == {"device", "origin", "availability_topic", "components"}
    assert body["device"]["identifiers"]
    assert set(body["device"]) <= {"identifiers", "name", "manufacturer", "sw_version"}
    assert set(body["origin"]) <= {"name", "sw_version"}
    for component in body["components"].values():
        needed, allowed = PLATFORMS[component["platform"]]
        assert needed <= set(component) <= SHARED | allowed
        assert component.get("entity_category", "diagnostic") == "diagnostic"
        for key in component:
            if key.endswith("_topic"):
                assert not set(component[key]) & set("+#")
