"""Two workers against one: what the second adds, and what sharing the state costs.

All cores are there for both, client included.  Mails a second would mostly tell how many
cores the client took, so the figure is computed from CPU time: a worker that has a core
for itself does 1000 / (CPU ms a mail) mails a second, and two do twice as many, less what
a mail costs more when they share, less the time in which cores stood idle (waiting for a
lock of the state).  What other programs of the machine took is nobody's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from millrace.engine.settings import Settings

from . import processes
from .contenders import FULL
from .daemon import Setting, daemon
from .peer_site import Site
from .sides import Bench, Side
from .stack import Absent, Target

AT_ONCE = 20  # for each worker


@dataclass(frozen=True)
class Share:
    """One set-up: workers, CPU ms a mail of the daemon with its state, cores' busy share."""

    workers: int
    cpu_ms: float
    busy: float
    mails_per_s: float


def supported() -> bool:
    """Whether this daemon has workers."""
    return any(entry.name == "workers" for entry in dataclasses.fields(Settings))


def lines(bench: Bench, rounds: int) -> Iterator[str]:
    """The section: each kind of state, one worker and two in turn."""
    cores = sorted(os.sched_getaffinity(0) | {bench.core})
    yield f"\nscaling, full pipeline, {AT_ONCE} at once a worker, all on {len(cores)} cores"
    yield f"{'state':10} {'workers':>7} {'CPU ms':>8} {'busy':>6} {'mails/s':>8}"
    if not supported():
        yield "this daemon has one worker only: not measured"
        return
    for state in ("embedded", "redis"):
        try:
            one, two = _measured(bench, state, set(cores), rounds)
        except Absent as absent:
            yield f"{state:10} not measured: {absent}"
            continue
        for share in (one, two):
            yield (
                f"{state:10} {share.workers:>7} {share.cpu_ms:>8.3f} {share.busy:>6.2f} "
                f"{share.mails_per_s:>8.0f}"
            )
        yield f"{'':10} two do {factor(one, two):.2f} times what one does; {_contention(one, two)}"


def factor(one: Share, two: Share) -> float:
    """What two workers with a core each do, to one: CPU a mail, and idle time not one's own."""
    return 2 * one.cpu_ms / two.cpu_ms * min(two.busy / max(one.busy, 1e-9), 1.0)


def _contention(one: Share, two: Share) -> str:
    return f"a mail costs {(two.cpu_ms / one.cpu_ms - 1) * 100:+.0f} % CPU"


def _measured(bench: Bench, state: str, cores: set[int], rounds: int) -> tuple[Share, Share]:
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        with bench.site() as site, contextlib.ExitStack() as stack:
            sides = [stack.enter_context(_side(bench, site, state, n, cores)) for n in (1, 2)]
            for side in sides * 2:
                side.burst(AT_ONCE)
            time.sleep(1.2)  # greylisted mails may come again
            for side in sides:
                side.burst(AT_ONCE)
                side.reset()
            seen: list[list[Share]] = [[], []]
            for _ in range(rounds):
                for n, side in enumerate(sides):
                    seen[n].append(_round(side, n + 1, len(cores)))
            return _middle(seen[0]), _middle(seen[1])
    finally:
        os.sched_setaffinity(0, own)


def _round(side: Side, workers: int, cores: int) -> Share:
    side.reset()
    client, machine = time.process_time(), processes.machine_seconds()
    burst = side.burst(AT_ONCE * workers)
    client = time.process_time() - client
    machine = processes.machine_seconds() - machine
    mails = side.outcome.answered
    served = burst.all_ms * mails / 1000
    foreign = max(machine - served - client, 0.0)
    # one worker can keep one core busy, beside the client's share of the other
    room = side.wall * cores - foreign if workers > 1 else side.wall + client
    return Share(workers, burst.all_ms, min((served + client) / room, 1.0), mails / side.wall)


def _middle(shares: list[Share]) -> Share:
    return Share(
        shares[0].workers,
        statistics.median(share.cpu_ms for share in shares),
        statistics.median(share.busy for share in shares),
        statistics.median(share.mails_per_s for share in shares),
    )


@contextlib.contextmanager
def _side(bench: Bench, site: Site, state: str, workers: int, cores: set[int]) -> Iterator[Side]:
    folder = Path(tempfile.mkdtemp(prefix=f"{state}-{workers}-", dir=site.folder))
    helpers: dict[str, tuple[int, ...]] = {}
    url = "embedded:state.db"
    if state == "redis":
        url = f"redis://127.0.0.1:{site.redis.port}/{workers}"
        helpers["redis"] = (site.redis.pid,)
    setting = Setting(FULL, servers=bench.servers, state=url, workers=workers)
    with daemon(folder, setting, cores) as running:
        target = Target(running.address, (running.pid,), helpers)
        yield Side(f"{workers}", target, bench.corpus.mails)
