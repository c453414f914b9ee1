"""The receiver on its cradle, in virtual time."""

from appliance.audio.wake import WakeGate
from appliance.config.schema import WakeWord
from appliance.events import HookMoved, WakeChanged
from appliance.interfaces import Control
from tests.fakes.panel import FakePanel
from tests.rig.box import Box
from tests.rig.virtual_time import virtual_time
from tests.rig.wake_word import Word

HOOK = Control.HOOK


@virtual_time
async def test_lifting_the_receiver_begins_and_laying_it_down_ends():
    async with Box(mode="open", hook=23) as box:
        assert box.line.deaf
        box.fake.move(HOOK, True)
        await box.wait(0.1)
        await box.state("speaking")
        assert box.voice.spoken == ["Welcome."]
        await box.idle()
        await box.answered()
        box.microphone.voiced = True
        await box.state("listening")
        box.fake.move(HOOK, False)
        await box.wait(1.0)
        assert box.line.session is None
        assert box.line.deaf
        assert [reason for *_, reason in box.closed] == ["on_hook"]
        assert [event.state for event in box.of(HookMoved)] == ["off", "on"]


@virtual_time
async def test_whoever_lifts_the_receiver_needs_no_wake_word_until_it_is_laid_down():
    async with Box(mode="open", hook=23) as box:
        box.line.wake = WakeGate(WakeWord(follow_up=2.0), Word("hello"))
        box.fake.move(HOOK, True)
        await box.wait(0.1)
        await box.state("speaking")
        await box.idle()
        await box.wait(10.0)
        await box.answered()
        box.fake.move(HOOK, False)
        await box.wait(0.5)
        assert not box.line.wake.awake
        assert [event.state for event in box.of(WakeChanged)] == ["awake", "asleep"]


@virtual_time
async def test_what_is_said_near_a_receiver_on_the_hook_opens_nothing():
    async with Box(mode="open", hook=23) as box:
        await box.speak(3.0)
        assert box.line.session is None


@virtual_time
async def test_lifting_the_receiver_answers_the_call_that_rings_and_laying_it_down_hangs_up():
    async with Box(hook=23) as box:
        call = box.telephone.rings_in()
        box.fake.move(HOOK, True)
        await box.wait(0.1)
        assert (box.calls.call(call).state, box.calls.call(call).place) == ("connected", "room")
        assert box.line.session is None
        box.fake.move(HOOK, False)
        await box.wait(0.5)
        assert [told for told in box.telephone.told if told[0] in ("answer", "hang_up")] == [
            ("answer", call),
            ("hang_up", call),
        ]


@virtual_time
async def test_laying_the_receiver_down_leaves_the_calls_of_others_alone():
    async with Box(FakePanel(active=(HOOK,)), hook=23) as box:
        call = box.telephone.rings_in()
        box.calls.answer(call)
        box.fake.move(HOOK, False)
        await box.wait(0.5)
        assert box.calls.call(call).state == "connected"


@virtual_time
async def test_a_receiver_that_is_off_the_hook_at_the_start_begins_nothing():
    async with Box(FakePanel(active=(HOOK,)), hook=23) as box:
        await box.wait(1.0)
        assert (box.line.session, box.line.deaf) == (None, False)
