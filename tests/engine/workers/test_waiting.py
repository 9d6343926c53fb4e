"""Who stands in the queue for a processor."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from millrace.engine.workers.waiting import waited

LOOP = "while True: pass"


def test_processes_that_share_a_processor_wait_for_it():
    one = next(iter(os.sched_getaffinity(0)))
    command = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{one}}})\n{LOOP}"]
    busy = [subprocess.Popen(command) for _ in range(3)]
    try:
        until = time.monotonic() + 30.0
        while min(waited(each.pid) for each in busy) < 0.2 and time.monotonic() < until:
            time.sleep(0.05)
        assert min(waited(each.pid) for each in busy) >= 0.2
    finally:
        for each in busy:
            each.kill()
            each.wait()


def test_process_that_is_not_there_has_not_waited():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert waited(gone.pid) == 0.0
