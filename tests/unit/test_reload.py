"""What a reload puts in force in the daemon itself."""

from pathlib import Path

from appliance.config.check import read
from appliance.daemon import Appliance
from appliance.errors import CredentialsRejected


async def test_a_provider_that_refused_may_be_tried_again_after_a_reload(tmp_path: Path):
    config = tmp_path / "handset.toml"
    config.write_text(f'[room]\nenabled = false\n[storage]\ndirectory = "{tmp_path}"\n')
    appliance = Appliance(read(str(config)).require(), str(config), alone=True)
    appliance.standings.failed("offline", CredentialsRejected("wrong key"), 10.0)
    assert not appliance.standings.free("offline", 1e9)
    await appliance.reload()
    assert appliance.standings.free("offline", 10.0)
    await appliance.stop()
