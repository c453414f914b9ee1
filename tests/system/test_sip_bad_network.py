"""A call over a network that loses, delays, reorders and doubles packets: it stands, sounds and is told."""

import pytest

from appliance.call.quality import CallQuality, StreamCounts
from appliance.interfaces import CallReport, QualityReport
from tests.rig.bad_network import BadNetwork, Conditions
from tests.rig.sip_desk import RATE, Desk
from tests.rig.sip_peers import Phone, programs_missing
from tests.rig.tones import dominant_hertz

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]
SIGNALLING = Conditions(loss=0.2, delay_ms=50, jitter_ms=50, held_back=0.1, doubled=0.2)
AUDIO = Conditions(loss=0.06, delay_ms=60, jitter_ms=40, held_back=0.02, doubled=0.02)


async def test_a_call_over_a_bad_network_stands_sounds_and_is_told_as_bad():
    async with Desk(codecs=("PCMU",), tone=1000) as desk, Phone("alice", tone=440) as alice:
        ports = desk.settings["port"], alice.port
        async with BadNetwork(*ports, sip=SIGNALLING, rtp=AUDIO, seed=11) as network:
            await alice.dial(network.appliance)
            call = await desk.pick_up()
            told = await desk.until(QualityReport, call=call, seconds=15)
            assert dominant_hertz(desk.heard(call, 2000), RATE) == pytest.approx(440, abs=5)
            heard, rate = alice.heard()
            assert dominant_hertz(heard[-2 * rate :], rate) == pytest.approx(1000, abs=10)
            quality = CallQuality().take(StreamCounts.told(told.counts), "PCMU/8000")
            assert quality is not None
            assert 1 < quality.loss_percent < 25
            assert quality.mos < 4.0
            sent, lost = network.carried["rtp to appliance"]
            assert told.counts["lost"] <= lost + 0.05 * sent, "nothing but the network loses"
            await alice.hang_up()
            await desk.state(call, "ended", seconds=20)
            assert len(desk.of(CallReport, state="connected")) == 1
