"""What `status` says of the room and of each provider."""

from appliance.events import LatencyMeasured, ProviderChanged, Warned
from tests.unit.control.parts import ask


async def test_status_tells_the_rooms_mute_and_volume_and_which_provider_is_well(here, client):
    await ask(client, "mute", on=True)
    here.bus.publish(
        ProviderChanged(provider="cloud", state="down", reason="no route", code="provider_unavailable")
    )
    here.bus.publish(ProviderChanged(provider="offline", state="up"))
    state = (await ask(client, "status"))["data"]
    assert (state["mute"], state["volume"]) == (True, 50)
    assert [state["providers"][name]["healthy"] for name in ("cloud", "offline")] == [False, True]
    cloud = state["providers"]["cloud"]
    assert (cloud["rung"], cloud["state"], cloud["reason"]) == (0, "down", "no route")
    assert (cloud["code"], cloud["sessions"]) == ("provider_unavailable", [])


async def test_status_says_that_the_models_of_a_provider_fail_until_one_answers(here, client):
    here.bus.publish(ProviderChanged(provider="cloud", state="up"))
    here.bus.publish(Warned(provider="cloud", session="s1", code="llm_failed", message="nothing listens"))
    here.bus.publish(LatencyMeasured(session="s2", turn=1, first_text=300))
    here.bus.publish(LatencyMeasured(session="s1", turn=1))
    state = (await ask(client, "status"))["data"]
    assert state["providers"]["cloud"]["warning"] == "nothing listens"
    here.bus.publish(LatencyMeasured(session="s1", turn=2, first_text=300))
    state = (await ask(client, "status"))["data"]
    assert not state["providers"]["cloud"]["warning"]


async def test_status_says_what_a_provider_goes_without_until_it_connects_with_all(here, client):
    here.bus.publish(ProviderChanged(provider="cloud", state="up"))
    here.bus.publish(Warned(provider="cloud", code="stage_skipped", message="tts piper is left out"))
    state = (await ask(client, "status"))["data"]
    assert state["providers"]["cloud"]["warning"] == "tts piper is left out"
    here.bus.publish(ProviderChanged(provider="cloud", state="up"))
    state = (await ask(client, "status"))["data"]
    assert not state["providers"]["cloud"]["warning"]
