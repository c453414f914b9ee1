"""A file that is not TOML yet is told with its line, and with what to write there."""

from pathlib import Path

import pytest

from appliance.config.load import Fault, load
from provisioning.sources import understand


def only_fault(directory: Path, data: bytes) -> Fault:
    path = directory / "handset.toml"
    path.write_bytes(data)
    (fault,) = load(path, environ={}).faults
    return fault


MISTAKES = [
    ("server = pbx.example.org", "text needs quotes"),
    ("server = \u201cpbx.example.org\u201d", "straight quotes"),
    ("enabled = yes", "true or false"),
    ("enabled = True", "true or false"),
    ("server: pbx.example.org", "equals sign"),
    ('display name = "Kitchen"', "no blanks"),
    ('server = "a.example"\nserver = "b.example"', "each key once"),
    ('[room]\nmode = "open"\n[sip]', "each heading"),
    ("[room", "both its brackets"),
    ('codecs = ["opus" "PCMU"]', "lists need brackets"),
]


@pytest.mark.parametrize(("line", "told"), MISTAKES)
def test_a_beginners_mistake_is_told_with_what_to_write_instead(tmp_path: Path, line: str, told: str) -> None:
    text = f"[sip]\n{line}\n"
    fault = only_fault(tmp_path, text.encode())
    assert told in fault.hint
    assert f"line {len(text.splitlines())}" in fault.message
    assert told in understand(text).faults[0].hint


def test_the_mark_that_windows_editors_put_first_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "handset.toml"
    path.write_bytes(b'\xef\xbb\xbf[device]\r\nname = "hall"\r\n')
    assert load(path, environ={}).require().device.name == "hall"


def test_letters_of_another_encoding_are_told_with_their_line(tmp_path: Path) -> None:
    fault = only_fault(tmp_path, b'[device]\nname = "K\xfcche"\n')
    assert fault.line == 2
    assert "UTF-8" in fault.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('server = "pbx.example.org"', "[sip] or [mqtt]"),
        ('[wifi]\nssid = "home"', "[wlan]"),
        ('[wlan]\nssid = "home"', "handset setup --from"),
    ],
)
def test_a_key_without_its_heading_is_told_where_it_belongs(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "handset.toml"
    path.write_text(text)
    assert any(told in fault.hint for fault in load(path, environ={}).faults)
