"""The plug of a booted box is pulled, again and again: it comes back with its settings and its history."""

import os

import pytest

from tests.image.control import client, converse, said
from tests.image.machine import Machine

PULLS = int(os.environ.get("HANDSET_PULLS", "2"))
KEPT = "cat /etc/machine-id /etc/hostname /etc/handset/conf.d/60-setup.toml; readlink -f /opt/handset/current"


@pytest.fixture(scope="module")
def told() -> dict[str, list[tuple[str, str]]]:
    """What was said in each session so far."""
    return {}


@pytest.mark.parametrize("number", range(1, PULLS + 1))
async def test_it_comes_back_with_its_history(
    box: Machine, secret: str, told: dict[str, list[tuple[str, str]]], number: int
):
    box.ready()
    kept = box.shell(KEPT)
    async with client(box, secret) as control:
        session = await converse(control, "what time is it")
        told[session] = await said(control, session)
        assert [role for role, _ in told[session]] == ["user", "assistant"]
    box.pull_the_plug()
    box.start()
    waited = box.ready()
    print(
        f"pull {number}: answers {waited:.0f} s after it was switched on, {box.uptime():.0f} s by its own clock"
    )
    assert box.shell(KEPT) == kept
    async with client(box, secret) as control:
        for session, turns in told.items():
            assert await said(control, session) == turns
    assert not box.shell("ls /run/handset-data-lost 2>/dev/null", check=False)


def test_what_is_on_the_card_is_whole_after_all_that(box: Machine):
    box.shut_down()
    assert box.data_faults() == ""
    box.start()
