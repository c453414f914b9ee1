"""What the daemon loads before anybody talks."""

import asyncio
from pathlib import Path

from appliance.config.check import read
from appliance.daemon import Appliance
from appliance.errors import DriverMissing
from appliance.events import Warned
from tests.fakes.provider import FakeProvider
from tests.rig.virtual_time import virtual_time


def _appliance(folder: Path, *providers: FakeProvider) -> Appliance:
    config = folder / "handset.toml"
    config.write_text(f'[room]\nenabled = false\n[storage]\ndirectory = "{folder}"\n')
    appliance = Appliance(read(str(config)).require(), str(config), alone=True)
    appliance.rungs.providers[:] = providers
    return appliance


def test_the_lower_rungs_are_loaded_once_the_first_had_time_to_be_dialled(tmp_path: Path):
    @virtual_time
    async def story():
        first, second = FakeProvider("a"), FakeProvider("b")
        first.load_for(12.0)
        second.load_for(12.0)
        appliance = _appliance(tmp_path, first, second)
        await appliance.start()
        await asyncio.sleep(16.0)
        assert (first.loaded, second.loaded) == (True, False)
        await asyncio.sleep(14.0)
        assert second.loaded
        await appliance.stop()

    story()


def test_a_rung_that_cannot_be_loaded_is_told_and_the_next_is_loaded_all_the_same(tmp_path: Path):
    @virtual_time
    async def story():
        first, second = FakeProvider("a"), FakeProvider("b")
        first.fail_to_load(DriverMissing("a needs a library"))
        second.load_for(1.0)
        appliance = _appliance(tmp_path, first, second)
        told: list[str] = []
        appliance.bus.listen(lambda event: told.append(event.code) if isinstance(event, Warned) else None)
        await appliance.start()
        await asyncio.sleep(10.0)
        assert told == ["driver_missing"]
        assert second.loaded
        await appliance.stop()

    story()
