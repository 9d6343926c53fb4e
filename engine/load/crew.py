"""Several processes that send as one, where one client would be the limit.

Each takes its share of the arrivals (or of the mails under way), and the outcomes add up.

Fails: as `Drive`; an error of any process is raised here.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection

from millrace.engine.errors import MillraceError, Unavailable
from millrace.engine.load.drive import Drive, Plan, Talk
from millrace.engine.load.timing import Outcome
from millrace.engine.net.endpoint import Endpoint


def run(where: Endpoint, talks: Callable[[int], Talk], plan: Plan, clients: int) -> Outcome:
    """Send by so many processes; mail numbers do not repeat among them."""
    if clients == 1:
        return Drive(where, talks, plan).run()
    shares = [share(plan, number, clients) for number in range(clients)]
    # forked: what a talk is made from need not be pickled
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in shares]
    workers = []
    for number, (part, (_, end)) in enumerate(zip(shares, pipes, strict=True)):
        numbered = _Numbered(talks, number, clients)
        worker = context.Process(target=_work, args=(where, numbered, part, end), daemon=True)
        worker.start()
        end.close()
        workers.append(worker)
    outcome = Outcome()
    for begin, _ in pipes:
        try:
            found = begin.recv()
        except EOFError:
            raise Unavailable("a client process", "it ended without a word") from None
        if isinstance(found, Exception):
            raise found
        outcome += found
    for worker in workers:
        worker.join()
    return outcome


def share(plan: Plan, number: int, of: int) -> Plan:
    """What one of `of` processes has to do of a plan."""
    at_once = (plan.at_once + of - 1 - number) // of
    rate = replace(plan.rate, share=number, shares=of) if plan.rate is not None else None
    mails = None if plan.mails is None else (plan.mails + of - 1 - number) // of
    return replace(plan, at_once=max(at_once, 1), rate=rate, mails=mails)


class _Numbered:
    """Mail numbers of one process: every so-many-th."""

    def __init__(self, talks: Callable[[int], Talk], first: int, step: int) -> None:
        self._talks, self._first, self._step = talks, first, step

    def __call__(self, number: int) -> Talk:
        return self._talks(self._first + number * self._step)


def _work(
    where: Endpoint,
    talks: Callable[[int], Talk],
    plan: Plan,
    end: Connection,
) -> None:
    try:
        end.send(Drive(where, talks, plan).run())
    except (MillraceError, OSError) as error:  # told to the parent, which raises it
        end.send(error)
