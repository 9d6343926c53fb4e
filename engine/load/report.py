"""What people read of a run: one table, plain words about what limits it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from millrace.engine.load.history import Run, quantiles
from millrace.engine.load.idle import Standing
from millrace.engine.load.timing import Outcome, Rate

CLIENT_FULL = 0.9  # of a core


def told(run: Run, rate: Rate | None, before: Run | None) -> Iterator[str]:
    """The lines of a run, with an earlier one beside it where there is one."""
    outcome = run.outcome
    pace = outcome.answered / max(outcome.seconds, 1e-9)
    yield f"{run.kind} to {run.target}: {outcome.answered} answered in {outcome.seconds:.1f} s"
    asked = f"of {rate.each_s:.1f}/s asked for" if rate is not None else "as fast as it answers"
    yield f"  {pace:.1f} mails/s, {asked}; client busy {outcome.busy:.2f} of a core"
    yield from _counts("verdicts", outcome.verdicts, outcome.answered)
    yield from _counts("errors", outcome.errors, outcome.answered + outcome.errors.total())
    if outcome.unsent:
        yield f"  not sent      {outcome.unsent}: they were due and found no room"
    if outcome.answered:
        yield ""
        yield from _table(outcome, before)
    if outcome.busy > CLIENT_FULL:
        yield ""
        yield "  The client was the limit: its core was full. Give it more with --clients."


def _counts(name: str, counts: Mapping[str, int], whole: int) -> Iterator[str]:
    for word, count in sorted(counts.items(), key=lambda pair: -pair[1]):
        yield f"  {name:10}    {count:>8}  {count / max(whole, 1) * 100:5.1f} %  {word}"


def _table(outcome: Outcome, before: Run | None) -> Iterator[str]:
    head = f"  {'ms':10} {'since due':>10} {'since sent':>10}"
    earlier = quantiles(before.outcome.since_due) if before is not None else {}
    if before is not None:
        head += f" {before.time[:16]:>18} {'change':>8}"
    yield head
    sent = quantiles(outcome.since_sent)
    for name, seconds in quantiles(outcome.since_due).items():
        line = f"  {name:10} {seconds * 1000:>10.2f} {sent[name] * 1000:>10.2f}"
        if earlier:
            line += f" {earlier[name] * 1000:>18.2f} {_change(earlier[name], seconds):>8}"
        yield line


def _change(before: float, now: float) -> str:
    return f"{(now / before - 1) * 100:+.0f} %" if before else ""


def standing(found: Standing) -> Iterator[str]:
    """How many idle connections were held, and why not more."""
    yield f"idle: {found.held} of {found.wanted} held, opened in {found.seconds:.1f} s"
    for reason, count in found.errors.most_common():
        yield f"  {count:>8} not: {reason}"
    if found.lost:
        yield f"  {found.lost:>8} were closed by the server meanwhile"
