"""The kiosk page in a real browser: its buttons do with calls what they say. `make kiosk` runs these."""

import json
import os
from pathlib import Path

import pytest

from tests.rig.appliance import Handset
from tests.rig.browser import Browser, browser_missing
from tests.rig.sip_peers import Phone, programs_missing
from tests.rig.sound_server import SoundServer

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
    pytest.mark.skipif(not os.environ.get("HANDSET_BROWSER"), reason="the browser is run by make kiosk"),
    pytest.mark.skipif(browser_missing(), reason="not installed: chromium"),
]
CARD = "#call-list li"


def deed(name: str) -> str:
    return f'{CARD} [data-deed="{name}"]'


async def test_a_call_is_answered_handed_over_held_resumed_keyed_into_recorded_and_hung_up_from_the_page(
    tmp_path,
):
    pictures = Path(os.environ.get("HANDSET_PICTURES", tmp_path))
    sip = {"auto_answer": False, "bind": "127.0.0.1"}
    recording = {"announce": False}
    with SoundServer() as server:
        async with (
            Handset(sound=server, sip=sip, recording=recording) as handset,
            Phone("alice") as alice,
            Browser(f"http://127.0.0.1:{handset.port}/") as page,
        ):
            client = handset.client
            await page.until("document.querySelector('#link').textContent.startsWith('connected')")
            await alice.dial(handset.uri)
            call = (await client.event("call", state="ringing"))["call"]
            await page.until(f"document.querySelector('{CARD} .how').textContent === 'rings'")
            await page.press(deed("take"))
            await client.event("call", call=call, state="connected")
            await page.until(f"document.querySelector('{CARD} .how').textContent.endsWith('with the room')")
            await page.press(deed("agent"))
            await page.until(f"document.querySelector('{CARD} .how').textContent.endsWith('with the agent')")

            await page.press(deed("hold"))
            await client.event("call", call=call, state="held")
            await page.until(f"document.querySelector('{CARD}').dataset.state === 'held'")
            since = client.mark
            await page.press(deed("resume"))
            await client.event("call", since=since, call=call, state="connected")

            await page.press(deed("record"))
            await client.event("recording", call=call, state="started")
            await page.until(f"document.querySelector('{deed('record')}').ariaPressed === 'true'")
            await page.value(f"document.querySelector('{CARD} details').open = true")
            await page.press(f"{CARD} .pad button:nth-child(5)")
            digit = await alice.event("CALL_DTMF_START")
            assert digit["param"] == "5"
            await page.picture(pictures / "call.png")
            await page.press(deed("record"))
            await client.event("recording", call=call, state="stopped")

            await page.press(deed("hangup"))
            await client.event("call", call=call, state="ended")
            await page.until(f"!document.querySelector('{CARD}')")
            await page.press("#dnd")
            await page.until("document.querySelector('#dnd').ariaPressed === 'true'")
            assert (await client.state())["do_not_disturb"]
            await page.picture(pictures / "quiet.png")
            assert page.complaints == []


async def test_the_page_dials_and_hands_over(tmp_path):
    async with (
        Handset(sip={"bind": "127.0.0.1", "max_calls": 2}) as handset,
        Phone("carol") as carol,
        Phone("dave") as dave,
        Browser(f"http://127.0.0.1:{handset.port}/") as page,
    ):
        client = handset.client
        await page.until("document.querySelector('#link').textContent.startsWith('connected')")
        await page.write("#number", carol.uri)
        await page.press("#dial button")
        await carol.event("CALL_INCOMING")
        await carol.answer()
        await client.event("call", state="connected")
        await page.until(f"document.querySelector('{CARD}').dataset.state === 'connected'")
        await page.value(f"document.querySelectorAll('{CARD} details')[1].open = true")
        await page.write(f'{CARD} [name="to"]', dave.uri)
        await page.press(f"{CARD} form button")
        await dave.event("CALL_INCOMING")
        await page.until(f"document.querySelectorAll('{CARD}').length === 2")
        assert page.complaints == []


async def test_a_page_whose_token_may_only_talk_shows_calls_and_no_button_that_would_be_refused(tmp_path):
    sip = {"auto_answer": False, "bind": "127.0.0.1"}
    async with Handset(sip=sip) as handset, Phone("alice") as alice:
        _, made, _ = await handset.run("pair", "--scope", "talk", "--name", "page", "--json")
        token = json.loads(made)["token"]
        async with Browser(f"http://127.0.0.1:{handset.port}/#token={token}") as page:
            await page.until("document.querySelector('#link').textContent.startsWith('connected')")
            await alice.dial(handset.uri)
            await page.until(f"document.querySelector('{CARD} .how')?.textContent === 'rings'")
            shown = (
                "[...document.querySelectorAll('#telephone button')].filter((one) => one.checkVisibility())"
            )
            assert await page.value(f"{shown}.length") == 0
            assert await page.value("document.querySelector('#mute').disabled")
