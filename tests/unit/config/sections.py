"""What the tests of the providers' sections are given: keys, ladders of providers, and the faults that are found."""

from pathlib import Path

from appliance.config.load import Fault, load
from appliance.config.providers import check_providers
from appliance.config.rules import check_rules

OPENAI = "sk-proj-0123456789abcdefghijABCDEFGHIJ"
GOOGLE = "AIza0123456789abcdefghijABCDEFGHIJ01234"
LAN = "http://127.0.0.1:9999/v1"
LADDER = "[conversation]\nproviders = {}\n"


def faults(directory: Path, text: str, **environ: str) -> dict[str, Fault]:
    path = directory / "handset.toml"
    path.write_text(text)
    found = check_providers(check_rules(load(path, environ={})), environ).faults
    return {fault.key: fault for fault in found}
