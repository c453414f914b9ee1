"""Which of ALSA's PCMs PortAudio gets to see; each look in a process and with an ALSA configuration of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LOOK = """
import json, sys
from drivers.audio_pyaudio.library import Enumeration
asked = json.loads(sys.argv[1])
for _ in range(2):
    enumeration = Enumeration(asked)
    names = sorted({device.name for device in enumeration.devices})
    enumeration.close()
print(json.dumps(names))
"""
DEVICES = """
pcm.default { type null }
pcm.mine { type null }
pcm.upmix { type null }
pcm.jack { type null }
"""


def seen(directory: Path, configuration: str, asked: Collection[str] | None) -> list[str]:
    """The names in the second enumeration: the first one's end must not bring back what was left out."""
    path = directory / "alsa.conf"
    path.write_text(configuration)
    environ = {**os.environ, "ALSA_CONFIG_PATH": str(path)}
    words = json.dumps(asked if asked is None else sorted(asked))
    look = subprocess.run(
        [sys.executable, "-c", LOOK, words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    names: list[str] = json.loads(look.stdout)
    return names


def test_converters_and_bridges_are_not_looked_at(tmp_path):
    assert seen(tmp_path, DEVICES, ()) == ["default", "mine"]


def test_one_that_is_asked_for_by_name_is(tmp_path):
    assert seen(tmp_path, DEVICES, {"default", "jack"}) == ["default", "jack", "mine"]


def test_whoever_lists_the_devices_sees_all(tmp_path):
    assert seen(tmp_path, DEVICES, None) == ["default", "jack", "mine", "upmix"]


def test_all_stay_where_the_owner_made_a_device_of_one(tmp_path):
    owners = DEVICES.replace("pcm.mine { type null }", 'pcm.mine { type plug slave.pcm "upmix" }')
    assert seen(tmp_path, owners, ()) == ["default", "jack", "mine", "upmix"]


def test_an_owners_device_of_such_a_type_stays_usable(tmp_path):
    owners = DEVICES.replace(
        "pcm.mine { type null }", 'pcm.mine { type empty slave.pcm { type plug slave.pcm "jack" } }'
    )
    assert "mine" in seen(tmp_path, owners, ())


def test_a_configuration_without_any_of_them_is_left_alone(tmp_path):
    assert seen(tmp_path, "pcm.default { type null }", ()) == ["default"]
