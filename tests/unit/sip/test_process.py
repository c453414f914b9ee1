"""The SIP process ends by Handset's word or when Handset is gone, and by nothing else."""

import os
import time
from typing import Any

import pytest

from drivers.sip_pjsua2.client import configure_message
from drivers.sip_pjsua2.process import GROUP_SIGNALS, ChildProcess
from drivers.sip_pjsua2.supervisor import Timing
from drivers.sip_pjsua2.wire import Control

pytest.importorskip("pjsua2")


def listens_at(**settings: Any) -> str:
    """The address that a process with this `[sip]` section tells; without its port."""
    child = ChildProcess()
    child.send(configure_message({"port": 0, "codecs": ["PCMU"], **settings}, Timing()))
    until = time.monotonic() + 60.0
    try:
        while time.monotonic() < until and not child.closed:
            for message in child.wait(0.5):
                if isinstance(message, Control) and message.type == "ready":
                    return str(message.body["address"]).rpartition(":")[0]
    finally:
        child.send({"type": "stop"})
        child.end(10.0)
    raise TimeoutError("\n".join(child.last_words))


@pytest.mark.slow
@pytest.mark.parametrize("sign", GROUP_SIGNALS)
def test_a_signal_to_the_whole_group_does_not_end_it_however_early_it_comes(sign):
    child = ChildProcess()
    os.kill(child.pid, sign)
    assert child.end(20.0) == 0


@pytest.mark.slow
def test_it_is_reached_from_outside_once_somebody_there_may_call():
    assert listens_at(allow=["127.0.0.0/8"]) == "127.0.0.1"
    assert listens_at(allow=["127.0.0.1", "10.0.0.0/8"]) != "127.0.0.1"
