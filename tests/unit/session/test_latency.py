"""When a turn passed which stage."""

from appliance.session.latency import TurnStopwatch


class TestStopwatch:
    def test_stages_count_from_the_last_sound_of_the_voice_and_once(self):
        watch = TurnStopwatch()
        watch.start(4, 10.0, 10.6)
        watch.pass_(4, "first_text", 10.9)
        watch.pass_(4, "first_text", 11.9)
        watch.pass_(3, "first_audio", 10.7)
        event = watch.report(4, "s", "l")
        assert event is not None
        assert (event.end_of_speech, event.first_text, event.first_audio) == (600, 900, None)
        assert watch.report(4, "s", "l") is None
