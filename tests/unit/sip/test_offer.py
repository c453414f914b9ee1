"""Which calls are refused because of the encryption that they offer."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sip_pjsua2.offer import NO_KEY, OFF, PLAIN, refusal, unspoken

HEAD = b"INVITE sip:handset@127.0.0.1 SIP/2.0\r\nTo: <sip:handset@127.0.0.1>\r\n\r\nv=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n"
KEY = base64.b64encode(bytes(30))
CRYPTO = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + KEY + b"|2^20|1:32\r\n"
SECURE = b"m=audio 9000 RTP/SAVP 0\r\n"
CLEAR = b"m=audio 9000 RTP/AVP 0\r\n"


@pytest.mark.parametrize(
    ("srtp", "media", "why"),
    [
        ("off", CLEAR, ""),
        ("off", SECURE + CRYPTO, OFF),
        ("off", SECURE + CRYPTO + CLEAR, ""),
        ("off", b"m=audio 0 RTP/AVP 0\r\n" + SECURE + CRYPTO, OFF),
        ("optional", CLEAR, ""),
        ("optional", SECURE + CRYPTO, ""),
        ("optional", SECURE, NO_KEY),
        ("mandatory", SECURE, NO_KEY),
        ("mandatory", SECURE + CRYPTO, ""),
        ("mandatory", SECURE + CRYPTO.replace(b"AES_CM", b"ROT13"), NO_KEY),
        ("mandatory", SECURE + CRYPTO.replace(KEY, KEY[:-8]), NO_KEY),
        ("mandatory", SECURE + CRYPTO.replace(KEY, b"AAA"), NO_KEY),
        ("mandatory", SECURE + CRYPTO.replace(b"AES_CM", b"ROT13") + CRYPTO, ""),
        ("mandatory", SECURE + b"a=fingerprint:sha-256 00:11\r\n", ""),
        ("mandatory", CLEAR, PLAIN),
        ("mandatory", CLEAR + CRYPTO, ""),
        ("off", b"m=video 9000 RTP/AVP 96\r\n", ""),
        ("off", b"m=audio 9000 UDP/TLS/RTP/SAVPF 0\r\n", ""),
    ],
)
def test_a_call_is_refused_where_none_of_its_audio_can_be_had(srtp: str, media: bytes, why: str) -> None:
    assert refusal(HEAD + media, [srtp]) == why


def test_while_it_is_open_which_account_is_called_the_most_generous_counts() -> None:
    assert refusal(HEAD + SECURE + CRYPTO, ["off", "optional"]) == ""
    assert refusal(HEAD + SECURE, ["off", "optional"]) == OFF
    assert refusal(HEAD + SECURE, []) == ""


def test_only_new_calls_are_judged() -> None:
    within = HEAD.replace(b"127.0.0.1>", b"127.0.0.1>;tag=7")
    assert refusal(within + SECURE, ["off"]) == ""
    assert refusal(HEAD.replace(b"INVITE", b"UPDATE") + SECURE, ["off"]) == ""
    assert refusal(HEAD[: HEAD.index(b"v=0")], ["off"]) == ""


@given(st.binary(max_size=300))
def test_it_takes_any_bytes(body: bytes) -> None:
    for tail in (body, SECURE + body, SECURE + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + body):
        assert refusal(HEAD + tail, ["mandatory"]) in ("", OFF, NO_KEY, PLAIN)


WITHIN = HEAD.replace(b"@127.0.0.1>", b"@127.0.0.1>;tag=12")


@pytest.mark.parametrize(
    ("media", "refused"),
    [
        (b"m=audio 9000 RTP/AVP 0\r\n", False),
        (b"m=audio 9000 RTP/AVP 18 8\r\n", False),
        (b"m=audio 9000 RTP/AVP 18 96\r\na=rtpmap:96 PCMA/8000\r\n", False),
        (b"m=audio 9000/2 RTP/SAVP 96\r\na=rtpmap:96 pcmu/8000\r\n", False),
        (b"m=audio 9000 RTP/AVP 18\r\nm=audio 9002 RTP/AVP 8\r\n", False),
        (b"m=audio 9000 RTP/AVP 18\r\n", True),
        (b"m=audio 9000 RTP/AVP 0\r\na=rtpmap:0 SPEEX/8000\r\n", True),
        (b"m=audio 9000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n", True),
        (b"m=video 9000 RTP/AVP 96\r\na=rtpmap:96 PCMU/8000\r\n", True),
        (b"", False),
    ],
)
def test_an_offer_within_a_call_needs_one_codec_that_we_speak(media: bytes, refused: bool) -> None:
    assert unspoken(WITHIN + media, {"pcmu", "pcma"}) is refused
    assert not unspoken(HEAD + media, {"pcmu", "pcma"}), "a new call is the library's to refuse"


@given(st.binary())
def test_whatever_is_offered_within_a_call_is_judged(body: bytes) -> None:
    assert unspoken(WITHIN + b"m=audio " + body, {"pcmu"}) in (True, False)
