"""`doctor` dials the providers, says who refused, and never shows a key."""

import asyncio
import socket
import ssl
from typing import Any

import pytest

from appliance.config.schema import Configuration
from appliance.doctor import CHECKS, refusal
from appliance.errors import (
    ApplianceError,
    CredentialsRejected,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SetupRejected,
)
from appliance.finding import Finding
from appliance.link_faults import unreachable
from tests.fakes.openai_chat import FakeOpenAiChat
from tests.fakes.openai_realtime import FakeOpenAi


async def findings(cloud: FakeOpenAi, model: str = "") -> list[Finding]:
    """What `doctor` says of the provider."""
    section = {"base_url": cloud.base_url, "api_key": cloud.key, "model": model}
    configuration = Configuration.model_validate(
        {"conversation": {"providers": ["openai"]}, "providers": {"openai": section}}
    )
    [check] = [check for check in CHECKS if check.__name__ == "_provider"]
    async with asyncio.timeout(20):
        return await asyncio.to_thread(lambda: list(check(configuration)))


@pytest.mark.slow
async def test_doctor_dials_the_provider_and_says_what_refused() -> None:
    async with FakeOpenAi() as cloud:
        [fine] = await findings(cloud)
        assert fine.state == "ok"
        [unknown] = await findings(cloud, model="gpt-9")
        assert unknown.message.startswith("model or settings: ")
        cloud.reject_credentials(standing=True)
        [refused] = await findings(cloud)
        assert refused.state == "failed"
        assert refused.message.startswith("credentials: ")
        assert cloud.key not in refused.message


def test_a_refusal_names_who_refused() -> None:
    early = ssl.SSLCertVerificationError("certificate is not yet valid")
    early.verify_code, early.verify_message = 9, "certificate is not yet valid"

    def told(fault: BaseException) -> str:
        error = unreachable("openai", "api.openai.com", fault)
        if error is not fault:
            error.__cause__ = fault
        return refusal(error)[0].partition(":")[0]

    expected: dict[str, BaseException] = {
        "clock": early,
        "name resolution": socket.gaierror(-2, "Name or service not known"),
        "network": ConnectionRefusedError(),
        "credentials": CredentialsRejected("no"),
        "quota": QuotaExhausted("no"),
        "model or settings": SetupRejected("no"),
        "internal": ApplianceError("no"),
    }
    assert {name: told(fault) for name, fault in expected.items()} == {name: name for name in expected}


@pytest.mark.parametrize(
    "kind", [CredentialsRejected, QuotaExhausted, RateLimited, SetupRejected, ProviderUnavailable]
)
def test_each_refusal_has_a_remedy(kind: type[ApplianceError]) -> None:
    assert refusal(kind("no"))[1]
    assert refusal(kind("no", hint="do this"))[1] == "do this"


async def chain_findings(cloud: FakeOpenAiChat, **keys: Any) -> dict[str, Finding]:
    """What `doctor` says of a chain whose language model is `cloud`, by stage."""
    chain = {"stt": "pocketsphinx", "tts": ["piper", "espeak"], "llm_base_url": cloud.base_url, **keys}
    configuration = Configuration.model_validate(
        {"conversation": {"providers": ["chain", "offline"]}, "providers": {"chain": chain}}
    )
    [check] = [check for check in CHECKS if check.__name__ == "_provider"]
    async with asyncio.timeout(60):
        told = await asyncio.to_thread(lambda: list(check(configuration)))
    return {finding.check: finding for finding in told}


@pytest.mark.slow
async def test_doctor_asks_each_stage_of_a_chain_and_names_all_that_do_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with FakeOpenAiChat() as cloud:
        fine = await chain_findings(cloud, llm_api_key=cloud.key)
        assert fine["provider chain: llm openai"].state == "ok"
        assert fine["provider chain: stt pocketsphinx"].state == "ok"
        assert fine["provider piper"].state == "warning", "espeak speaks"
        refused = (await chain_findings(cloud, llm_api_key="another-key"))["provider chain: llm openai"]
        assert refused.state == "failed"
        assert refused.message.startswith("credentials: ")
        assert "check" not in refused.remedy
        assert "api_key in the configuration" in refused.remedy
        monkeypatch.setenv("MY_KEY", "another-key")
        refused = (await chain_findings(cloud, llm_api_key="env:MY_KEY"))["provider chain: llm openai"]
        assert refused.remedy.endswith("(this one: env:MY_KEY)")
    gone = (await chain_findings(cloud))["provider chain: llm openai"]
    assert gone.state == "failed"
    assert gone.message.startswith("network: ")
    assert gone.remedy
