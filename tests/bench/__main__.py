"""`make bench`: what a mail costs, beside what it costs others.

CPU milliseconds for each mail, of the filter and with its helpers (redis, clamd, spamd),
mails a second, latencies and memory; each pipeline of ours in turn with the peer that does
the same work, and the ratio.  Then the single parts in microseconds.  Figures, never
assertions: machines differ, ratios do less.

    python -m tests.bench [--quick] [--json FILE] [--only WORD] [--no-micro] [--profile]
                           [--scaling] [--daemons]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import daemons, micro, nameserver, profile, report, scaling
from . import peer_rspamd as rspamd
from .contenders import CONTENDERS, Contender
from .corpus import make
from .daemon import BARE, Setting, daemon
from .report import Row
from .sides import Bench, Side, pair
from .stack import Absent, Target

AT_ONCE = (1, 10)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What the caller wants."""
    parser = argparse.ArgumentParser(prog="make bench", description="What a mail costs.")
    parser.add_argument("--quick", action="store_true", help="fewer mails and rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--only", default="", metavar="WORD", help="pairs with that word")
    parser.add_argument("--reuse", type=int, default=1, help="mails on one milter connection")
    parser.add_argument("--rounds", type=int, default=0, help="turns of each side")
    parser.add_argument("--no-micro", action="store_true", help="end to end only")
    parser.add_argument("--scaling", action="store_true", help="two workers against one, alone")
    parser.add_argument("--daemons", action="store_true", help="1, 2, 4 over one Redis, alone")
    parser.add_argument("--profile", action="store_true", help="where our time goes")
    return parser.parse_args(given)


def cores() -> tuple[int, int]:
    """One for the filters, one for us; the same where there is only one."""
    have = sorted(os.sched_getaffinity(0))
    return have[-1], have[0]


def main() -> int:
    """Measure and print."""
    chosen = arguments()
    theirs, ours = cores()
    os.sched_setaffinity(0, {ours})
    corpus = make(60 if chosen.quick else 300)
    version = rspamd.version()
    print(report.title(platform.python_version(), len(corpus.mails), corpus.octets, 1, version))
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="millrace-dns-") as folder,
        nameserver.shared(Path(folder), corpus.zone, ours) as servers,
    ):
        bench = Bench(corpus, servers, theirs, chosen.reuse)
        if chosen.scaling or chosen.daemons:
            section = scaling if chosen.scaling else daemons
            for line in section.lines(bench, chosen.rounds or 5):
                print(line, flush=True)
            return 0
        for contender in CONTENDERS:
            if chosen.only in f"{contender.name} {contender.peer}":
                rows += _compared(bench, contender, chosen)
        slowness = _slowness(bench)
    print(report.foot(rows))
    if not chosen.no_micro:
        print(report.parts_head())
    kept = []
    for figure in [] if chosen.no_micro else micro.figures(corpus, chosen.quick):
        kept.append(figure)
        print(report.figure(figure, slowness), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(report.data(rows, kept), indent=1) + "\n")
    return 0


def _compared(bench: Bench, contender: Contender, chosen: argparse.Namespace) -> list[Row]:
    """One pipeline and its peer; a peer that is not here is said and passed over."""
    found: list[Row] = []
    try:
        with pair(bench, contender) as measured:
            measured.warm("greylist" in contender.pipeline)
            for at_once in AT_ONCE:
                measured.rounds(chosen.rounds or (3 if chosen.quick else 5), at_once)
                found.append(report.row(contender, measured, at_once))
                print(report.lines(found[-1]), flush=True)
    except Absent as absent:
        print(f"{contender.name:22} not compared with {contender.peer}: {absent}", flush=True)
    if chosen.profile:
        print(profile.table(bench, contender), flush=True)
    return found


def _slowness(bench: Bench) -> float:
    """How many times what it costs where the parts' goals were set a bare loop costs here."""
    with (
        tempfile.TemporaryDirectory(prefix="millrace-bare-") as folder,
        daemon(Path(folder), Setting(BARE), {bench.core}) as bare,
    ):
        side = Side("bare loop", Target(bare.address, (bare.pid,)), bench.corpus.mails)
        for _ in range(3):
            side.burst(10)
        print(f"\na bare asyncio loop that looks at nothing: {side.own_ms:.3f} CPU ms a mail")
        return side.own_ms / report.BARE_MS


if __name__ == "__main__":
    sys.exit(main())
