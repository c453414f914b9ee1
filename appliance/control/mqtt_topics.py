"""What stands in which MQTT topic. Pure: the state and events in, topics and payloads out; payloads in, commands out.

BASE/availability       online | offline, kept
BASE/state              JSON, kept
BASE/event/NAME         JSON of an event of the control API; never what was said, keyed in or done with tools
BASE/set/KEY            a command in one word; see COMMANDS
BASE/command            a command of the control API in JSON, answered in BASE/result
DISCOVERY/device/ID/config   for Home Assistant, kept
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance.events import Event

EVENTS: Final = frozenset(
    {
        *("session.state", "registration", "call", "call.place", "call.quality", "mailbox", "recording"),
        *("mute", "volume"),
        *(
            "button",
            "hook",
            "device",
            "provider",
            "release",
            "clock",
            "power",
            "room.measured",
            "warning",
            "error",
        ),
    }
)
PAYLOAD_BYTES: Final = 4096
ONLINE: Final = b"online"
OFFLINE: Final = b"offline"
_ON: Final[Mapping[str, bool]] = {
    "on": True,
    "1": True,
    "true": True,
    "off": False,
    "0": False,
    "false": False,
}
_BUSY: Final = ("speaking", "thinking", "listening")
_NOT_IN_AN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]+")
Command = dict[str, Any]


def base_of(topic: str, name: str) -> str:
    """The appliance's own part of the tree; what would be another level or a wildcard in its name is not."""
    return f"{topic}/{_plain(name)}"


def state_of(snapshot: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What BASE/state has: short, and the same while nothing changed."""
    sessions: list[Mapping[str, Any]] = snapshot.get("sessions", [])
    turns = {str(session.get("turn_state")) for session in sessions}
    providers: Mapping[str, Mapping[str, Any]] = snapshot.get("providers", {})
    calls: list[Any] = list(snapshot.get("calls", []))
    return {
        "state": next((turn for turn in _BUSY if turn in turns), "idle"),
        "mute": "ON" if snapshot.get("mute") else "OFF",
        "volume": snapshot.get("volume"),
        "calls": len(calls),
        "in_call": "ON" if calls else "OFF",
        "telephone": snapshot.get("telephone", {}).get("state", "off"),
        "registration": snapshot.get("registration", {}).get("state", "off"),
        "provider": next((name for name, entry in providers.items() if entry.get("sessions")), ""),
        "problem": "OFF" if snapshot.get("ready") else "ON",
        "undervoltage": "ON" if snapshot.get("power", {}).get("state") == "low" else "OFF",
        "reasons": list(snapshot.get("reasons", [])),
        "version": version,
    }


def event_of(event: Event) -> tuple[str, bytes] | None:
    """The topic below BASE and the payload; None for what is not told over MQTT."""
    if event.topic not in EVENTS:
        return None
    return f"event/{event.topic}", json.dumps(event.wire()).encode()


def _switched(text: str, name: str) -> Command | None:
    on = _ON.get(text.strip().lower())
    return None if on is None else {"type": name, "line": "room", "on": on}


def _levelled(text: str) -> Command | None:
    try:
        return {"type": "volume", "line": "room", "level": round(float(text))}
    except (ValueError, OverflowError):
        return None


COMMANDS: Final[Mapping[str, Callable[[str], Command | None]]] = {
    "mute": lambda text: _switched(text, "mute"),
    "volume": _levelled,
    "say": lambda text: {"type": "say", "line": "room", "text": text},
    "notify": lambda text: {"type": "notify", "line": "room", "text": text},
    "dial": lambda text: {"type": "call.dial", "to": text.strip()},
    "answer": lambda _: {"type": "call.answer"},
    "hang_up": lambda _: {"type": "call.hangup"},
}
"""BASE/set/KEY: the payload as one of the control API's commands; None where it is no such payload."""


def command_of(key: str, payload: bytes) -> Command | None:
    """The command of BASE/set/`key`; None where there is none such."""
    if key not in COMMANDS or len(payload) > PAYLOAD_BYTES:
        return None
    try:
        return COMMANDS[key](payload.decode())
    except UnicodeDecodeError:
        return None


def discovery(prefix: str, base: str, name: str, version: str) -> tuple[str, bytes]:
    """Topic and payload that make Home Assistant show the appliance as one device."""
    id_ = f"handset_{_plain(name)}"

    def entity(key: str, platform: str, shown: str, **more: Any) -> dict[str, Any]:
        return {"platform": platform, "unique_id": f"{id_}_{key}", "name": shown, **more}

    def read(key: str) -> dict[str, str]:
        return {"state_topic": f"{base}/state", "value_template": f"{{{{ value_json.{key} }}}}"}

    components = {
        "state": entity("state", "sensor", "State", icon="mdi:account-voice", **read("state")),
        "provider": entity(
            "provider", "sensor", "Provider", entity_category="diagnostic", **read("provider")
        ),
        "registration": entity(
            "registration", "sensor", "Registration", entity_category="diagnostic", **read("registration")
        ),
        "mute": entity(
            "mute",
            "switch",
            "Microphone mute",
            icon="mdi:microphone-off",
            command_topic=f"{base}/set/mute",
            **read("mute"),
        ),
        "volume": entity(
            "volume", "number", "Volume", min=0, max=100, command_topic=f"{base}/set/volume", **read("volume")
        ),
        "in_call": entity("in_call", "binary_sensor", "In a call", icon="mdi:phone", **read("in_call")),
        "problem": entity(
            "problem",
            "binary_sensor",
            "Problem",
            device_class="problem",
            entity_category="diagnostic",
            json_attributes_topic=f"{base}/state",
            **read("problem"),
        ),
        "undervoltage": entity(
            "undervoltage",
            "binary_sensor",
            "Power supply too weak",
            device_class="problem",
            entity_category="diagnostic",
            **read("undervoltage"),
        ),
        "say": entity("say", "notify", "Say", command_topic=f"{base}/set/say"),
        "answer": entity("answer", "button", "Answer", icon="mdi:phone", command_topic=f"{base}/set/answer"),
        "hang_up": entity(
            "hang_up", "button", "Hang up", icon="mdi:phone-hangup", command_topic=f"{base}/set/hang_up"
        ),
    }
    body = {
        "device": {"identifiers": [id_], "name": name, "manufacturer": "Handset", "sw_version": version},
        "origin": {"name": "handset", "sw_version": version},
        "availability_topic": f"{base}/availability",
        "components": components,
    }
    return f"{prefix}/device/{id_}/config", json.dumps(body).encode()


def _plain(name: str) -> str:
    return _NOT_IN_AN_ID.sub("-", name).strip("-") or "handset"
