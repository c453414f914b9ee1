"""The protocol between Handset and the SIP process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sip_pjsua2 import wire

NUMBERS = st.integers(0, 2**32 - 1)
PCM = st.binary(min_size=1, max_size=960).map(lambda half: half + half)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(NUMBERS, NUMBERS, NUMBERS, st.integers(0, 2**64 - 1), PCM, NUMBERS)
def test_audio_comes_out_as_it_went_in(call, stream, seq, at, pcm, taken):
    packet = wire.encode_audio(call, stream, seq, at, pcm, taken)
    assert wire.decode(packet) == wire.Audio(call, stream, seq, at, pcm, taken)


@pytest.mark.slow
@given(st.text(max_size=20), st.dictionaries(st.text(max_size=10), JSON, max_size=5))
def test_control_comes_out_as_it_went_in(kind, fields):
    body = {**fields, "type": kind}
    assert wire.decode(wire.encode_control(body)) == wire.Control(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(packet):
    try:
        message = wire.decode(packet)
    except wire.Malformed:
        return
    assert isinstance(message, wire.Control | wire.Audio)


@given(PCM, st.integers(0, 2000), st.binary(min_size=1, max_size=4))
def test_a_packet_cut_short_or_lengthened_is_refused(pcm, at, more):
    packet = wire.encode_audio(1, 2, 3, 4, pcm)
    with pytest.raises(wire.Malformed):
        wire.decode(packet[: at % len(packet)])
    with pytest.raises(wire.Malformed):
        wire.decode(packet + more)


@pytest.mark.parametrize("pcm", [b"", b"odd", bytes(wire.MAX_PCM + 2)], ids=["empty", "odd", "too long"])
def test_pcm_that_is_no_whole_samples_or_too_long_is_refused(pcm):
    with pytest.raises(wire.Malformed):
        wire.encode_audio(1, 1, 1, 1, pcm)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no type"),
        pytest.param({"type": 1}, id="type no text"),
        pytest.param({"type": "x", "a": float("nan")}, id="no number"),
        pytest.param({"type": "x", "a": b"x"}, id="no JSON"),
        pytest.param({"type": "x", "a": "y" * wire.MAX_CONTROL}, id="too long"),
    ],
)
def test_a_control_message_that_cannot_travel_is_refused(body):
    with pytest.raises(wire.Malformed):
        wire.encode_control(body)


@pytest.mark.parametrize("text", [b"[]", b'{"a":1}', b'{"type":null}', b"\xff", b"{", b"[" * 5000])
def test_a_control_packet_without_a_typed_object_is_refused(text):
    with pytest.raises(wire.Malformed):
        wire.decode((len(text) + 1).to_bytes(4, "big") + b"\x01" + text)


def test_an_unknown_kind_is_refused():
    with pytest.raises(wire.Malformed, match="kind 7"):
        wire.decode(b"\x00\x00\x00\x02\x07x")


def test_a_call_number_beyond_the_field_is_refused():
    with pytest.raises(wire.Malformed):
        wire.encode_audio(2**32, 1, 1, 1, b"xx")


@given(NUMBERS, st.integers(-(2**31) + 1, 2**31 - 1))
def test_the_gap_between_sequence_numbers_survives_wrapping(older, gap):
    assert wire.sequence_gap((older + gap) % 2**32, older) == gap
