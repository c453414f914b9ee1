"""The SIP process ends by Handset's word or when Handset is gone, and by nothing else."""

import os

import pytest

from drivers.sip_pjsua2.process import GROUP_SIGNALS, ChildProcess

pytest.importorskip("pjsua2")


@pytest.mark.slow
@pytest.mark.parametrize("sign", GROUP_SIGNALS)
def test_a_signal_to_the_whole_group_does_not_end_it_however_early_it_comes(sign):
    child = ChildProcess()
    os.kill(child.pid, sign)
    assert child.end(20.0) == 0
