"""Several daemons over one Redis, as on several hosts: does a mail cost more with their number?

Each daemon has a worker of its own, all have one state.  They are under load at the same
time, on all cores; what counts is CPU time of daemons and Redis for each mail.  More
processes than cores cost each other caches, whatever they share: as many daemons with a state
of their own each, in turn with the others, tell how much of it that is.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from . import processes
from .contenders import FULL
from .daemon import Setting, daemon
from .peer_site import Site
from .sides import Bench, Side
from .stack import Absent, Target

COUNTS = (1, 2, 4)
AT_ONCE = 8  # for each daemon


def lines(bench: Bench, rounds: int) -> Iterator[str]:
    """The section."""
    cores = set(os.sched_getaffinity(0) | {bench.core})
    yield f"\ndaemons over one Redis, full pipeline, {AT_ONCE} at once each, on {len(cores)} cores"
    yield f"{'daemons':>7} {'CPU ms':>8} {'of it redis':>12} {'state of its own':>17} {'ratio':>6}"
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield from _measured(bench, cores, rounds)
    except Absent as absent:
        yield f"not measured: {absent}"
    finally:
        os.sched_setaffinity(0, own)


def _measured(bench: Bench, cores: set[int], rounds: int) -> Iterator[str]:
    with bench.site() as site, contextlib.ExitStack() as stack:
        redis = f"redis://127.0.0.1:{site.redis.port}/1"
        sharing, apart = (
            [stack.enter_context(_side(bench, site, cores, state)) for _ in range(max(COUNTS))]
            for state in (redis, "embedded:state.db")
        )
        for sides in (sharing, apart) * 2:
            _together(sides)
            time.sleep(1.2)  # greylisted mails may come again
        seen: dict[int, list[_Costs]] = {count: [] for count in COUNTS}
        for _ in range(rounds):
            for count in COUNTS:
                own, _ = _round(apart[:count], site.redis.pid)
                seen[count].append(_Costs(*_round(sharing[:count], site.redis.pid), own))
        for count, costs in seen.items():
            whole, server, own = (statistics.median(column) for column in zip(*costs, strict=True))
            ratio = statistics.median(cost.whole / cost.own for cost in costs)
            yield f"{count:>7} {whole:>8.3f} {server:>12.3f} {own:>17.3f} {ratio:>6.2f}"


class _Costs(NamedTuple):
    """CPU ms a mail: daemons and Redis, Redis alone, daemons with a state each."""

    whole: float
    server: float
    own: float


def _round(sides: Sequence[Side], redis: int) -> tuple[float, float]:
    """CPU ms a mail, and Redis's share of it."""
    daemons = processes.Spent.of([pid for side in sides for pid in side.target.pids])
    server = processes.Spent.of([redis])
    mails = _together(sides)
    for_redis = server.since() * 1000 / mails
    return daemons.since() * 1000 / mails + for_redis, for_redis


def _together(sides: Sequence[Side]) -> int:
    """The corpus once through each, at the same time; how many mails were answered."""
    for side in sides:
        side.reset()
    threads = [threading.Thread(target=side.burst, args=(AT_ONCE,)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(side.outcome.answered for side in sides)


@contextlib.contextmanager
def _side(bench: Bench, site: Site, cores: set[int], state: str) -> Iterator[Side]:
    folder = Path(tempfile.mkdtemp(prefix="daemon-", dir=site.folder))
    setting = Setting(FULL, servers=bench.servers, state=state)
    with daemon(folder, setting, cores) as running:
        yield Side("daemon", Target(running.address, (running.pid,)), bench.corpus.mails)
