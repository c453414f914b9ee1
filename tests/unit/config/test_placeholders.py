"""What keeps the place of a secret is none; what somebody chose is one, however short."""

import pytest

from appliance.cli import main
from appliance.config.placeholders import is_placeholder


@pytest.mark.parametrize(
    "text",
    [
        *("...", "…", "....", "xxxx", "XXXXXXXX", "***", "???", "____", "sk-...", "sk-proj-...", "sk-…", "AIza..."),
        *("sk-xxxxxxxx", "$6$...", "changeme", "Change-Me!", "CHANGE_ME", "change this", "replace me", "todo", "TBD"),
        *("your key here", "YOUR_API_KEY", "your-openai-api-key", "sk-your-key-here", "yourpassword", "your password"),
        *("put your key here", "enter your password", "password here", "the PBX password here", "insert key"),
        *("<password>", "<your key>", "[your key]", "{{ sip_password }}", "${SIP_PASSWORD}", "%PASSWORD%"),
    ],
)  # fmt: skip
def test_it_keeps_a_place(text):
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "?", "x", "pw", "1234", "0000", "hush-hush", "secret", "password", "12345678", "sk-" + "a1B2" * 10),
        *("here comes the sun", "your majesty", "change is good", "wait...", "correct horse battery staple", "xxl"),
        *("a secret passphrase", "$5$abcdefgh$T.XTAh8iyIhSIMAjN1jGBNI5nCRdEg4q8Ua0HVqMS9/", "<3 you", "50%off%"),
    ],
)  # fmt: skip
def test_it_is_what_somebody_chose(text):
    assert not is_placeholder(text)


def test_check_warns_of_one_and_shows_where(tmp_path, capsys):
    file = tmp_path / "handset.toml"
    file.write_text('[sip]\nenabled = false\nserver = "pbx"\nuser = "1"\npassword = "your password here"\n')
    assert main(["check", "--config", str(file)]) == 0
    told = capsys.readouterr().err
    assert "sip.password: this stands for a secret, and is none (put the real password in its place" in told
    assert "your password here" not in told
