"""`millrace load`: send mails to a milter or an SMTP server, and time the answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from millrace.engine.load import crew, history, report
from millrace.engine.load import mails as sources
from millrace.engine.load.drive import Plan, Talk
from millrace.engine.load.history import Run
from millrace.engine.load.idle import Idle, raise_file_limit
from millrace.engine.load.milter import MilterTalk, Script
from millrace.engine.load.smtp import SmtpTalk
from millrace.engine.load.timing import Rate
from millrace.engine.net.endpoint import Endpoint

_OPEN_MAX = 1000  # under way in an open loop; what is due beyond that waits, and its wait counts
_PER = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/([smh]))?")
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")


def _rate(context: click.Context, parameter: click.Parameter, value: str | None) -> Rate | None:
    if value is None:
        return None
    found = _RATE.fullmatch(value)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"'{value}' is no rate: write 200/s, 50/m or 10/h")
    return Rate(float(found[1]), _PER[found[2] or "s"], 0.0)


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = _TIME.fullmatch(value)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"'{value}' is no time: write 60s, 5m or 1h")
    return float(found[1]) * _PER[found[2] or "s"]


def _endpoint(context: click.Context, parameter: click.Parameter, value: str) -> Endpoint:
    return Endpoint.parse(value)


@click.command()
@click.argument("role", type=click.Choice(["milter", "smtp"]))
@click.argument("where", metavar="ADDRESS", callback=_endpoint)
@click.option(
    "--rate", metavar="N/s", callback=_rate, help="Open loop: so many arrive, come what may."
)
@click.option(
    "--at-once",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Closed loop: so many under way, the next when one ends.",
)
@click.option(
    "--for", "seconds", metavar="TIME", callback=_seconds, help="How long; by default 10s."
)
@click.option(
    "--count", type=click.IntRange(1), metavar="N", help="How many mails, in a closed loop."
)
@click.option(
    "--mails",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A folder, a Maildir or an mbox; by default mails are made up.",
)
@click.option(
    "--distinct",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    metavar="N",
    help="How many senders and recipients made-up mails have.",
)
@click.option(
    "--size",
    type=click.IntRange(1),
    default=8000,
    show_default=True,
    metavar="OCTETS",
    help="About how large made-up mails are.",
)
@click.option(
    "--from",
    "sender",
    default="load@d0.example",
    show_default=True,
    metavar="ADDR",
    help="The sender of mails that are read.",
)
@click.option(
    "--to",
    "recipient",
    default="r0@rcpt.example",
    show_default=True,
    metavar="ADDR",
    help="Their recipient; made-up mails go to many of its domain.",
)
@click.option("--ip", default="192.0.2.7", show_default=True, metavar="IP", help="Who brings them.")
@click.option(
    "--idle",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Hold so many silent connections meanwhile.",
)
@click.option(
    "--active", type=click.IntRange(1), metavar="N", help="The same as --at-once, beside --idle."
)
@click.option(
    "--patience",
    metavar="TIME",
    callback=_seconds,
    default="60s",
    show_default=True,
    help="How long a server may say nothing.",
)
@click.option(
    "--clients",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that send.",
)
@click.option(
    "--history",
    "kept",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add this run to a file.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Compare with the last run of this kind in a file.",
)
@click.option("--json", "as_json", is_flag=True, help="The run as one JSON object.")
def load(role: str, where: Endpoint, **given: object) -> int:
    """Send mails to a milter or an SMTP server, and time the answers.

    \b
    Examples:
      millrace load milter inet:9900@127.0.0.1 --rate 200/s --for 60s --history load.jsonl
      millrace load smtp inet:25@127.0.0.1 --at-once 10 --for 30s --against load.jsonl

    With --rate a mail's time counts from the moment at which it was due, so that a server
    that falls behind shows it. Send only to servers of your own.

    Exit status 1 when a mail got no answer, or found no room in time.
    """
    chosen = _Chosen(**given)  # type: ignore[arg-type]  # click has checked them
    talks = _talks(role, chosen.source())
    plan, kind = chosen.plan(role)
    before = history.last(chosen.against, kind) if chosen.against is not None else None
    idle = Idle(where, talks, chosen.idle)
    held = idle.open()
    raise_file_limit(chosen.idle + plan.at_once)
    try:
        outcome = crew.run(where, talks, plan, chosen.clients)
    finally:
        idle.close()
    run = Run(history.now(), kind, str(where), outcome)
    if chosen.as_json:
        click.echo(json.dumps(run.data()))
    else:
        lines = [*report.standing(held), ""] if held.wanted else []
        click.echo("\n".join([*lines, *report.told(run, plan.rate, before)]))
    if chosen.kept is not None:  # last: a file that cannot be written costs nobody the figures
        history.keep(chosen.kept, run)
    if chosen.against is not None and before is None:
        click.echo(f"{chosen.against} holds no run of this kind ({kind})", err=True)
    return 1 if outcome.errors or outcome.unsent or held.held < held.wanted else 0


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The options."""

    rate: Rate | None
    at_once: int
    seconds: float | None
    count: int | None
    mails: Path | None
    distinct: int
    size: int
    sender: str
    recipient: str
    ip: str
    idle: int
    active: int | None
    patience: float
    clients: int
    kept: Path | None
    against: Path | None
    as_json: bool

    def source(self) -> sources.Mails:
        """The mails to send."""
        if self.mails is not None:
            return sources.read(self.mails, self.sender, self.recipient, self.ip)
        domain = self.recipient.rpartition("@")[2]
        return sources.made(self.distinct, octets=self.size, recipient_domain=domain)

    def plan(self, role: str) -> tuple[Plan, str]:
        """How to send, and the name by which runs of the same kind are known."""
        if self.rate is not None:
            length = self.seconds or 10.0
            paced = Rate(self.rate.count, self.rate.per, length)
            # what is late by the end is still waited for, for as long again
            plan = Plan(_OPEN_MAX, paced, None, length * 2, self.patience)
            return plan, f"{role} at {paced.each_s:g}/s"
        at_once = self.active or self.at_once
        limit = self.seconds if self.seconds or self.count else 10.0
        plan = Plan(at_once, None, self.count, limit, self.patience)
        return plan, f"{role}, {at_once} at once"


def _talks(role: str, source: sources.Mails) -> Callable[[int], Talk]:
    if role == "milter":
        return lambda number: MilterTalk(Script(source(number), number))
    return lambda number: SmtpTalk(source(number))
