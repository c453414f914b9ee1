"""docs/configuration.md lists every key of the schema with its default, and no other."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from appliance.config.check import _toml
from appliance.config.files import CHECKOUT
from appliance.config.schema import Agent, Configuration, ProviderSection, SipAccount
from appliance.providers.chain import Chain

DOCUMENT = CHECKOUT / "docs/configuration.md"
NAMED: dict[str, tuple[str, type[object]]] = {
    "providers": ("providers.NAME", ProviderSection),
    "agents": ("agents.NAME", Agent),
}


def of_the_schema() -> Iterator[tuple[str, str, str]]:
    for name, field in Configuration.model_fields.items():
        section, model = NAMED.get(name, (name, type(field.default)))
        if not issubclass(model, BaseModel):
            continue
        keys: Mapping[str, FieldInfo] = model.model_fields
        for key, value in keys.items():
            if isinstance(value.default, dict):
                continue  # tables of their own
            yield section, key, _toml(value.default)
        if name == "providers":
            for key, value in Chain.settings_model.model_fields.items():
                default = value.default
                one = isinstance(default, tuple) and len(default) == 1
                yield "providers.chain", key, _toml(default[0] if one else default)


def of_the_document(path: Path) -> Iterator[tuple[str, str, str]]:
    section = ""
    for line in path.read_text().splitlines():
        if heading := re.fullmatch(r"###? \[(.+)\]", line):
            section = heading[1]
        elif row := re.fullmatch(r"\| `(\w+)` \| `(.*?)` \| .+ \|", line):
            yield section, row[1], row[2]


def test_every_key_is_documented_with_its_default() -> None:
    assert list(of_the_document(DOCUMENT)) == list(of_the_schema())


def test_every_section_is_documented() -> None:
    headings = set(re.findall(r"^## \[(\w+)", DOCUMENT.read_text(), re.MULTILINE))
    assert headings == set(Configuration.model_fields)


def test_every_key_of_a_further_account_is_named() -> None:
    text = DOCUMENT.read_text().partition("### [sip.accounts.NAME]")[2].partition("```")[0]
    assert set(re.findall(r"`(\w+)`", text)) - {"default"} == set(SipAccount.model_fields)
