"""A real-time priority that a busy thread loses before the kernel ends the process for it."""

import os
import subprocess
import sys

import pytest

SPIN = """
import os, resource, threading, time
from drivers.sip_pjsua2 import priority

resource.setrlimit(resource.RLIMIT_RTTIME, (100_000, 20_000_000))
rests = threading.Event()
threading.Thread(target=rests.wait, daemon=True).start()
priority.take()
policies = lambda: {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}
print(*policies(), flush=True)
until = time.monotonic() + 20.0
while os.SCHED_FIFO in policies() and time.monotonic() < until:
    pass
print(*policies(), flush=True)
"""


def real_time_is_allowed() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


@pytest.mark.slow
@pytest.mark.skipif(not real_time_is_allowed(), reason="no right to a real-time priority here")
def test_a_thread_that_does_not_rest_costs_the_process_its_priority_and_not_its_life():
    ran = subprocess.run(
        [sys.executable, "-c", SPIN], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran
    assert ran.stdout.split() == [str(os.SCHED_FIFO), str(os.SCHED_OTHER)]
