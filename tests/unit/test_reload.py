"""What a reload puts in force in the daemon itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.config.check import read
from appliance.daemon import Appliance
from appliance.errors import CredentialsRejected
from appliance.interfaces import LineKind
from tests.fakes.openai_realtime import FakeOpenAi
from tests.fakes.provider import FakeProvider

pytestmark = pytest.mark.slow


async def test_a_provider_that_refused_may_be_tried_again_after_a_reload(tmp_path: Path):
    config = tmp_path / "handset.toml"
    config.write_text(f'[room]\nenabled = false\n[storage]\ndirectory = "{tmp_path}"\n')
    appliance = Appliance(read(str(config)).require(), str(config), alone=True)
    appliance.standings.failed("offline", CredentialsRejected("wrong key"), 10.0)
    assert not appliance.standings.free("offline", 60.0)
    await appliance.reload()
    assert appliance.standings.free("offline", 10.0)
    await appliance.stop()


async def _until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30.0):
        # What it waits for happens on threads and sockets that wake nobody.
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("place", ["file", "section"])
async def test_a_key_that_was_put_right_is_used_after_a_reload(tmp_path: Path, place: str):
    def write(key: str) -> None:
        (tmp_path / "key").write_text(key)
        (tmp_path / "key").chmod(0o600)
        named = f"file:{tmp_path}/key" if place == "file" else key
        config.write_text(
            f'[room]\nenabled = false\n[storage]\ndirectory = "{tmp_path}"\n'
            '[conversation]\nproviders = ["openai", "offline"]\n'
            f'[providers.openai]\napi_key = "{named}"\nbase_url = "{cloud.base_url}"\n'
        )

    async with FakeOpenAi() as cloud:
        cloud.key = "sk-test-and-twenty-characters"
        config = tmp_path / "handset.toml"
        write("sk-wrong-and-twenty-characters")
        appliance = Appliance(read(str(config)).require(), str(config), alone=True)
        line = appliance.lines.open_line(LineKind.CLIENT, capture_rate=16_000, playout_rate=16_000)
        session = appliance.lines.open_session(line)
        await _until(lambda: session.provider == "offline")
        assert not appliance.standings.free("openai", asyncio.get_running_loop().time())
        offline = appliance.rungs.providers[1]
        write(cloud.key)
        told = await appliance.reload()
        assert told["restart"] == []
        assert appliance.rungs.providers[1] is offline
        await _until(lambda: session.provider == "openai")
        await appliance.stop()


async def test_a_provider_that_goes_with_the_next_restart_keeps_its_key_until_then(tmp_path: Path):
    config = tmp_path / "handset.toml"
    common = f'[room]\nenabled = false\n[storage]\ndirectory = "{tmp_path}"\n'
    config.write_text(
        common + '[conversation]\nproviders = ["openai", "offline"]\n'
        '[providers.openai]\napi_key = "sk-test-and-twenty-characters"\n'
    )
    appliance = Appliance(read(str(config)).require(), str(config), alone=True)
    before = tuple(appliance.rungs.providers)
    config.write_text(common + '[conversation]\nproviders = ["offline"]\n')
    assert "conversation" in (await appliance.reload())["restart"]
    assert tuple(appliance.rungs.providers) == before
    await appliance.stop()


class LongClosing(FakeProvider):
    """Its end takes until it is let go."""

    def __init__(self) -> None:
        super().__init__("openai")
        self.closes, self.may_close = asyncio.Event(), asyncio.Event()

    async def close(self) -> None:
        self.closes.set()
        await self.may_close.wait()


async def test_of_two_reloads_the_one_that_was_asked_for_last_holds(tmp_path: Path):
    def write(contact: str) -> None:
        config.write_text(
            f'[room]\nenabled = false\n[storage]\ndirectory = "{tmp_path}"\n[contacts]\nkitchen = "{contact}"\n'
            '[conversation]\nproviders = ["openai"]\n'
            '[providers.openai]\napi_key = "sk-test-and-twenty-characters"\n'
        )

    config = tmp_path / "handset.toml"
    write("sip:1@127.0.0.1")
    appliance = Appliance(read(str(config)).require(), str(config), alone=True)
    slow = appliance.rungs.providers[0] = LongClosing()
    write("sip:2@127.0.0.1")
    first = asyncio.create_task(appliance.reload())
    await _until(slow.closes.is_set)
    write("sip:3@127.0.0.1")
    second = asyncio.create_task(appliance.reload())
    await asyncio.sleep(0.5)
    slow.may_close.set()
    await asyncio.gather(first, second)
    assert appliance.configuration.contacts == {"kitchen": "sip:3@127.0.0.1"}
    await appliance.stop()


async def test_a_contact_that_was_added_is_offered_to_the_agents_and_one_that_went_no_more(tmp_path: Path):
    def write(contact: str) -> None:
        config.write_text(
            f'[room]\nenabled = false\n[storage]\ndirectory = "{tmp_path}"\n'
            '[agents.assistant]\ninstructions = "Be kind."\ntools = ["call"]\n'
            f'[contacts]\n{contact} = "sip:201@127.0.0.1"\n'
        )

    def offered() -> str:
        line = appliance.lines.open_line(LineKind.CLIENT, capture_rate=16_000, playout_rate=16_000)
        tools = appliance.lines.open_session(line).setup(bare=False).tools
        return str(next(tool for tool in tools if tool.name == "call").parameters)

    config = tmp_path / "handset.toml"
    write("office")
    appliance = Appliance(read(str(config)).require(), str(config), alone=True)
    assert "office" in offered()
    write("workshop")
    assert (await appliance.reload())["applied"] == ["contacts"]
    assert "workshop" in offered()
    assert "office" not in offered()
    await appliance.stop()
