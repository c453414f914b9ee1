"""What every text-to-speech stage makes of a piece: all of its sound, its words, whatever is written."""

# ruff: noqa: RUF001 - people write with all kinds of signs

import pytest

from appliance.stages import Piece
from tests.contract.tts.services import GREETING, SPOKEN
from tests.contract.tts.speaking import say
from tests.fakes.speech_cloud import MS_PER_CHARACTER, sound_of, words_of


async def test_a_piece_is_spoken_whole(build, cloud):
    heard = await say(build(), GREETING)
    assert heard.pcm == sound_of(cloud.spoken[-1].text, 24_000)
    assert heard.rates == {24_000}
    assert cloud.spoken[-1].text.strip() == GREETING


async def test_it_is_spoken_at_the_lines_own_rate_or_the_nearest_above_it(service, build, cloud):
    stage = build()
    for wanted, given in service.rates.items():
        heard = await say(stage, "Yes.", rate=wanted)
        assert heard.rates == {given}
        assert heard.pcm == sound_of(cloud.spoken[-1].text, given)


@pytest.mark.parametrize("service", SPOKEN, ids=str, indirect=True)
async def test_each_word_of_the_text_is_told_with_its_time(build):
    heard = await say(build(), GREETING)
    assert " ".join(word.text for word in heard.words) == GREETING
    starts = {word: begin for word, begin, _ in words_of(GREETING)}
    for word in heard.words:
        assert abs(word.start_ms - starts[word.text]) <= MS_PER_CHARACTER


@pytest.mark.parametrize("service", SPOKEN, ids=str, indirect=True)
async def test_a_service_that_tells_no_words_is_heard_all_the_same(build, cloud):
    cloud.tells_words = False
    heard = await say(build(), GREETING)
    assert heard.words == []
    assert heard.pcm


async def test_sound_comes_while_the_service_still_speaks(build, cloud):
    cloud.speed = 2.0
    stage = build()
    await stage.warm()
    sounds = stage.speak(Piece(GREETING))
    await anext(sounds)
    assert not cloud.spoken[-1].done
    await sounds.aclose()


async def test_the_voice_of_the_piece_overrules_that_of_the_settings(service, build, cloud):
    other = sorted(cloud.voices)
    stage = build(voice=other[0])
    await say(stage, "One.")
    await say(stage, "Two.", voice=other[1])
    assert [spoken.voice for spoken in cloud.spoken] == other[:2]


@pytest.mark.parametrize("voice", ["marin", "f786b574-daa5-4673-aa0c-cbe3e8534c02", "JBFqnCBsd6RMkjVDRZzb"])
async def test_a_voice_of_another_service_does_not_silence_it(build, cloud, voice):
    stage = build()
    await say(stage, "With its own.")
    own = cloud.spoken[-1].voice
    await say(stage, "With another's.", voice=voice)
    assert cloud.spoken[-1].voice == (voice if voice in cloud.voices else own)


async def test_a_language_with_its_region_is_understood(build):
    assert (await say(build(), "Bom dia.", language="pt-BR")).pcm


@pytest.mark.parametrize("text", ["", "   \n", "🙂🎉", "...", "—", "\u200b", "\x00"])
async def test_a_piece_with_nothing_to_say_yields_nothing(build, cloud, text):
    assert (await say(build(), text)).sounds == []
    assert cloud.dials == 0


@pytest.mark.parametrize(
    "text",
    [
        "שלום, מה שלומך היום?",
        "مرحبا، كيف حالك؟",
        "你好，世界。今天天气很好。",
        "Wait <break time='2s'/> for <emotion value=\"angry\">it</emotion>.",
        "If 3 < 4 and 5 > 2, then <<b>i</b>> & so on.",
        "One\ntwo\r\nthree\tfour.",
        "Naïve café 🙂 costs 3,50 €.",
        'It is [[h@l\'oU]] and {json: "yes"}.',
    ],
)
async def test_whatever_is_written_is_spoken_as_plain_text(service, build, cloud, text):
    heard = await say(build(), text)
    assert heard.pcm == sound_of(cloud.spoken[-1].text, 24_000)
    if service.words:
        assert " ".join(word.text for word in heard.words) == " ".join(text.split())


async def test_lone_surrogates_and_control_characters_do_no_harm(build, cloud):
    heard = await say(build(), "Be\x00fore \ud83d after\x1b.")
    assert heard.pcm == sound_of(cloud.spoken[-1].text, 24_000)


async def test_a_very_long_piece_is_spoken_whole(service, build, cloud):
    text = " ".join(f"This is sentence number {number}, and there are more." for number in range(220))
    assert len(text) > 10_000
    cloud.chunk_ms = 2_000
    heard = await say(build(), text, rate=8_000)
    told = "".join(spoken.text for spoken in cloud.spoken)
    assert " ".join(told.split()) == text
    assert heard.pcm == b"".join(sound_of(spoken.text, next(iter(heard.rates))) for spoken in cloud.spoken)
