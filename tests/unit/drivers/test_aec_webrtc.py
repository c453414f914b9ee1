"""The canceller's messages are livekit's: those that its own classes would write and read."""

import subprocess
import sys

import pytest

pytest.importorskip("livekit.rtc")
from livekit.rtc._proto.ffi_pb2 import FfiRequest, FfiResponse

from appliance.errors import DeviceUnavailable
from drivers import aec_webrtc
from drivers.aec_webrtc import WebRtcEchoCanceller, body_of, handle_in, message

FRAME = bytes(320)
BIG = 2**63 + 12345


def test_the_request_for_a_module_is_livekits():
    theirs = FfiRequest()
    theirs.new_apm.echo_canceller_enabled = True
    theirs.new_apm.gain_controller_enabled = False
    theirs.new_apm.high_pass_filter_enabled = True
    theirs.new_apm.noise_suppression_enabled = True
    assert message(aec_webrtc.NEW_MODULE, True, False, True, True) == theirs.SerializeToString()


def test_the_request_to_process_a_frame_is_livekits():
    for number, name in (
        (aec_webrtc.NEAR_END, "apm_process_stream"),
        (aec_webrtc.FAR_END, "apm_process_reverse_stream"),
    ):
        theirs = FfiRequest()
        asked = getattr(theirs, name)
        asked.apm_handle, asked.data_ptr, asked.size = 300, BIG, 320
        asked.sample_rate, asked.num_channels = 16_000, 1
        assert message(number, 300, BIG, 320, 16_000, 1) == theirs.SerializeToString()


def test_the_request_for_the_delay_is_livekits():
    theirs = FfiRequest()
    theirs.apm_set_stream_delay.apm_handle = 7
    theirs.apm_set_stream_delay.delay_ms = 0
    assert message(aec_webrtc.STREAM_DELAY, 7, 0) == theirs.SerializeToString()


def test_the_handle_is_found_in_livekits_answer():
    theirs = FfiResponse()
    theirs.new_apm.apm.handle.id = BIG
    assert handle_in(body_of(theirs.SerializeToString(), aec_webrtc.NEW_MODULE - 1)) == BIG


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (aec_webrtc.NEAR_END, "apm_process_stream"),
        (aec_webrtc.FAR_END, "apm_process_reverse_stream"),
        (aec_webrtc.STREAM_DELAY, "apm_set_stream_delay"),
    ],
)
def test_an_answer_without_a_fault_is_empty_and_one_with_it_is_not(number, name):
    theirs = FfiResponse()
    getattr(theirs, name).SetInParent()
    assert body_of(theirs.SerializeToString(), number - 1) == b""
    getattr(theirs, name).error = "bad"
    assert body_of(theirs.SerializeToString(), number - 1) != b""


def test_an_answer_of_another_kind_is_refused():
    theirs = FfiResponse()
    theirs.new_apm.apm.handle.id = 1
    with pytest.raises(DeviceUnavailable, match="unknown kind"):
        body_of(theirs.SerializeToString(), aec_webrtc.NEAR_END - 1)
    with pytest.raises(DeviceUnavailable, match="no echo canceller"):
        handle_in(FfiResponse().SerializeToString() + b"\x0a\x02\x0a\x00")


def test_after_the_end_nothing_is_processed():
    canceller = WebRtcEchoCanceller()
    canceller.close()
    canceller.close()
    with pytest.raises(DeviceUnavailable, match="closed"):
        canceller.near_end(FRAME)


def test_two_cancellers_work_side_by_side_and_one_ends_alone():
    first, second = WebRtcEchoCanceller(), WebRtcEchoCanceller()
    first.close()
    second.far_end(FRAME)
    assert len(second.near_end(FRAME)) == len(FRAME)
    second.close()


def test_the_conferencing_client_is_not_loaded_and_the_process_ends_well():
    program = (
        "import sys; from drivers.aec_webrtc import WebRtcEchoCanceller as C; c = C(); c.near_end(bytes(320)); "
        "print([name for name in sys.modules if name.startswith(('livekit.rtc', 'google'))])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "[]", "")
