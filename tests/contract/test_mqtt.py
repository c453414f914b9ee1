"""The MQTT door at a real broker: state, events, commands; a broker that goes and comes, or asks for a password."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from appliance.control.mqtt import MqttDoor, Naming
from appliance.events import Transcript, VolumeChanged
from drivers.mqtt_paho import PahoBroker
from tests.rig.peer import end_process, start_process, until
from tests.rig.ports import free_port
from tests.unit.control.parts import desk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("mosquitto") is None, reason="not installed: mosquitto"),
]
BASE = "handset/kitchen"


class Mosquitto:
    """A broker on a port of its own; it keeps nothing over its end."""

    def __init__(self, directory: Path, *, password: str = "") -> None:
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        who = "allow_anonymous true"
        if password:
            users = directory / "users"
            subprocess.run(["mosquitto_passwd", "-c", "-b", str(users), "box", password], check=True)
            who = f"allow_anonymous false\npassword_file {users}"
        self._configuration = directory / "mosquitto.conf"
        self._configuration.write_text(
            f"listener {self.port} 127.0.0.1\npersistence false\nuser root\n{who}\n"
        )

    async def start(self) -> None:
        self._process = start_process(
            ["mosquitto", "-c", str(self._configuration)], self._directory, str(self._directory / "log")
        )
        await until(self._listens, 10, "the broker listens")

    def stop(self) -> None:
        if self._process is not None:
            end_process(self._process)
            self._process = None

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
            return True
        return False


class Listener:
    """Somebody else at the broker, who hears all of it."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        if user:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._note
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(5)

    def _note(self, client: Client, _: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload), message.retain))

    def last(self, topic: str) -> bytes:
        return next((payload for heard, payload, _ in reversed(self.heard) if heard == topic), b"")

    def send(self, topic: str, payload: str, *, keep: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=keep)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.asynccontextmanager
async def opened(here, port, *, user="", password=""):
    """The door of the appliance `here`, at the broker."""
    broker = PahoBroker("127.0.0.1", port, user, password, tls=False, ca="")
    naming = Naming("handset", "kitchen", "0.2.0", "homeassistant")
    part = here.health.part("mqtt", required=False)
    door = MqttDoor(broker, naming, here.server.commands, here.server.state, here.bus, part)
    door.start()
    running = asyncio.create_task(door.run())
    try:
        yield door
    finally:
        running.cancel()
        await door.stop()


@pytest.fixture
async def here(tmp_path):
    async with desk(tmp_path) as running:
        yield running


@pytest.fixture
async def mosquitto(tmp_path):
    broker = Mosquitto(tmp_path)
    await broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def listener(mosquitto):
    listening = Listener(mosquitto.port)
    yield listening
    listening.close()


async def test_whoever_listens_knows_the_state_and_sees_events(here, mosquitto, listener):
    async with opened(here, mosquitto.port):
        await until(lambda: listener.last(f"{BASE}/availability") == b"online", 10, "it is online")
        await until(lambda: listener.last(f"{BASE}/state"), 10, "its state")
        assert json.loads(listener.last(f"{BASE}/state"))["version"] == "0.2.0"
        assert listener.last("homeassistant/device/handset_kitchen/config")
        here.bus.publish(Transcript(turn=1, role="user", text="my secret", final=True))
        here.bus.publish(VolumeChanged(level=40))
        await until(lambda: listener.last(f"{BASE}/event/volume"), 10, "the event")
        late = Listener(mosquitto.port)
        await until(lambda: late.last(f"{BASE}/state"), 10, "what is kept")
        late.close()
    await until(lambda: listener.last(f"{BASE}/availability") == b"offline", 10, "it is offline")
    assert b"my secret" not in b"".join(payload for _, payload, _ in listener.heard)


async def test_what_is_sent_is_done_and_answered(here, mosquitto, listener):
    async with opened(here, mosquitto.port):
        await until(lambda: listener.last(f"{BASE}/availability") == b"online", 10, "it is online")
        listener.send(f"{BASE}/set/mute", "ON")
        await until(
            lambda: json.loads(listener.last(f"{BASE}/state") or b"{}").get("mute") == "ON", 10, "muted"
        )
        assert json.loads(listener.last(f"{BASE}/result"))["type"] == "result"
        listener.send(f"{BASE}/command", '{"type": "volume", "id": "7", "line": "room", "level": 30}')
        await until(lambda: b'"7"' in listener.last(f"{BASE}/result"), 10, "the answer")
        assert json.loads(listener.last(f"{BASE}/state"))["volume"] == 30


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        ("set/mute", "perhaps", "not_possible"),
        ("set/reboot", "", "not_possible"),
        ("command", "{", "not_possible"),
        ("command", '{"type": "mtue", "id": "1"}', "unknown_command"),
        ("command", '{"type": "diagnose", "id": "1"}', "forbidden"),
        ("command", '{"type": "session.open", "id": "1", "line": "client"}', "not_possible"),
    ],
)
async def test_what_cannot_be_done_is_answered_with_why(here, mosquitto, listener, topic, payload, code):
    async with opened(here, mosquitto.port):
        await until(lambda: listener.last(f"{BASE}/availability") == b"online", 10, "it is online")
        listener.send(f"{BASE}/{topic}", payload)
        await until(lambda: listener.last(f"{BASE}/result"), 10, "the answer")
        assert json.loads(listener.last(f"{BASE}/result"))["code"] == code


async def test_a_command_that_the_broker_kept_is_not_done_again(here, mosquitto, listener):
    listener.send(f"{BASE}/set/mute", "ON", keep=True)
    await until(lambda: listener.last(f"{BASE}/set/mute"), 10, "it is kept")
    async with opened(here, mosquitto.port) as door:
        await until(lambda: listener.last(f"{BASE}/availability") == b"online", 10, "it is online")
        listener.send(f"{BASE}/set/volume", "30")
        await until(lambda: listener.last(f"{BASE}/result"), 10, "the answer to the one after it")
        assert door.counters()["commands_total"] == 1


async def test_a_broker_that_goes_and_comes_is_told_everything_again(here, mosquitto):
    async with opened(here, mosquitto.port):
        part = here.health.part("mqtt")
        await until(lambda: part.working, 10, "connected")
        mosquitto.stop()
        await until(lambda: not part.working, 10, "it is noticed")
        await mosquitto.start()
        await until(lambda: part.working, 20, "connected again")
        listener = Listener(mosquitto.port)
        await until(lambda: listener.last(f"{BASE}/state"), 10, "its state, which the broker had lost")
        listener.close()


async def test_a_broker_that_refuses_the_password_is_told_as_that(here, tmp_path, caplog):
    guarded = Mosquitto(tmp_path, password="wonderland")
    await guarded.start()
    try:
        async with opened(here, guarded.port, user="box", password="wrong"):
            part = here.health.part("mqtt")
            await until(lambda: "uthori" in part.reason, 10, "the reason")
            assert "mqtt.password" in part.hint
            told = [record for record in caplog.records if "uthori" in record.getMessage()]
            assert len(told) == 1, "in the log, and once however often it is tried"
        async with opened(here, guarded.port, user="box", password="wonderland"):
            await until(lambda: part.working, 10, "connected")
    finally:
        guarded.stop()
