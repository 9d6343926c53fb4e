"""Several processes over one state file: nothing is counted twice, forgotten, or given twice."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from millrace.engine.operations.counter import Count
from millrace.engine.state.embedded import EmbeddedState

PROCESSES, ROUNDS, AT_ONCE = 3, 15, 20
CHILD = """
import asyncio, json, sys
from pathlib import Path
from millrace.engine.operations.counter import Count
from millrace.engine.operations.lease import Acquire
from millrace.engine.operations.window import CountInWindow
from millrace.engine.state.embedded import EmbeddedState

async def work(path, me, rounds, at_once):
    state = EmbeddedState(Path(path))
    sys.stdin.readline()  # all begin at once
    allowed = granted = 0
    for turn in range(rounds):
        asks = [state.ask(Count("k", 3600)) for _ in range(at_once)]
        asks.append(state.ask(CountInWindow("w", 86400 * 365, 20)))
        asks.append(state.ask(Acquire("l", f"{me}.{turn}", 7, 600)))
        *_, window, lease = await asyncio.gather(*asks)
        allowed, granted = allowed + window.allowed, granted + lease.granted
    await state.close()
    print(json.dumps([allowed, granted]))

asyncio.run(work(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


def test_processes_over_one_file_count_each_step_once(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    numbers = [str(ROUNDS), str(AT_ONCE)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(n), *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ),
        )
        for n in range(PROCESSES)
    ]
    told = [json.loads(child.communicate(b"\n", timeout=60)[0]) for child in started]
    assert sum(allowed for allowed, _ in told) == 20
    assert sum(granted for _, granted in told) == 7

    async def counted() -> float:
        state = EmbeddedState(path)
        try:
            return await state.ask(Count("k", 3600, add=0))
        finally:
            await state.close()

    assert asyncio.run(counted()) == PROCESSES * ROUNDS * AT_ONCE


def test_a_lock_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    holds = (
        "import sqlite3, sys, time\n"
        f"db = sqlite3.connect({str(path)!r}, isolation_level=None)\n"
        "db.execute('begin immediate'); print('held', flush=True); time.sleep(0.3)\n"
    )

    async def asked() -> tuple[float, float]:
        state = EmbeddedState(path)
        began = time.monotonic()
        found = await state.ask(Count("k", 60))
        waited = time.monotonic() - began
        await state.close()
        return found, waited

    asyncio.run(asked())
    with subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        found, waited = asyncio.run(asked())
    assert found == 2
    assert 0.1 < waited < 4
