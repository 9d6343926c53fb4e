"""`millrace dmarc`: send the reports that are asked of us, read those about us."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib.metadata
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from millrace.engine import reporting
from millrace.engine.cli.dmarc_advise import advise
from millrace.engine.cli.options import read, with_settings
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.mailauth.reports import unpack
from millrace.engine.mailauth.reports.advice import counted
from millrace.engine.mailauth.reports.aggregate import DAY_S, Report, clean
from millrace.engine.mailauth.reports.letter import GENERATOR, Submitter
from millrace.engine.mailauth.reports.writer import file_name
from millrace.engine.net.dns import BudgetedDns, CachedDns
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.net.nexthop import Patience, SmtpHop
from millrace.engine.reporting import Outcome, Round, Terms
from millrace.engine.services import Services, SystemClock
from millrace.engine.settings import Settings
from millrace.engine.store.reports import ReportStore

WEEK = 7  # days that a run without --day or --since looks back
LOOKUPS_MAX = 1_000_000  # one run asks for all domains; each answer has its own time
_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+")


@click.group()
def dmarc() -> None:
    """Send DMARC aggregate reports, read those of others, and see what they say of a domain.

    \b
    Examples:
      millrace dmarc report --send 127.0.0.1:25
      millrace dmarc ingest reports/*.eml && millrace dmarc advise example.org
    """


dmarc.add_command(advise)


# --- report


def _day(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        date = datetime.date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"'{value}' is no day; it reads like 2026-11-22") from None
    return (date - datetime.date(1970, 1, 1)).days


@dmarc.command()
@click.option("--day", callback=_day, metavar="YYYY-MM-DD", help="One UTC day alone.")
@click.option("--since", callback=_day, metavar="YYYY-MM-DD", help="From this day; else a week.")
@click.option("--domain", default="", metavar="NAME", help="One policy domain alone.")
@click.option("--send", metavar="HOST:PORT", help="The SMTP relay; by default reports.relay.")
@click.option("--to-dir", type=click.Path(path_type=Path), metavar="DIR", help="Write files only.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--refused", is_flag=True, help="Try again what was refused, by a relay now mended.")
@click.option("--dns", type=click.Path(path_type=Path), metavar="ZONE", help="Answer from a file.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object for each report and address."
)
@with_settings
def report(config: Path | None, overrides: tuple[str, ...], **given: Any) -> int:  # noqa: ANN401
    """Make aggregate reports of the days that have ended, and send each of them once.

    \b
    Examples:
      millrace dmarc report --send 127.0.0.1:25
      millrace dmarc report --day 2026-11-22 --domain example.org --to-dir reports
      millrace dmarc report --dry-run

    Run it once a day, or as often as you like: what was sent is not sent again, and what
    failed for now is tried at the next run.  Reports about others go only to addresses of
    the domain itself, or to those that agree to it in the DNS (RFC 9990).

    Exit status 3 when something is left for the next run.
    """
    settings = read(config, overrides)
    store = ReportStore(settings.at(settings.reports.path), settings.reports.keep, create=False)
    with contextlib.closing(store):
        wanted = list(_wanted(store, given))
        terms = _terms(settings)
        if given["to_dir"] is not None:
            return _write(store, wanted, terms, given["to_dir"])
        hop = None if given["dry_run"] else _hop(settings, given["send"], terms)
        return asyncio.run(_send(settings, store, wanted, terms, hop, given))


def _wanted(store: ReportStore, given: dict[str, Any]) -> Iterator[tuple[int, str]]:
    now, day, since = time.time(), given["day"], given["since"]
    if day is not None and not reporting.ended(day, now):
        words = f"{reporting.date_of(day)} has not ended (UTC); a report is of a whole day"
        raise click.UsageError(words)
    if since is None:
        since = reporting.day_of(now) - WEEK
    for at, domain in store.days(ascii_domain(given["domain"])):
        chosen = at == day if day is not None else at >= since
        if chosen and reporting.ended(at, now):
            yield at, domain


def _terms(settings: Settings) -> Terms:
    chosen = settings.reports
    if not _ADDRESS.fullmatch(chosen.address):
        said = f"reports.address = '{chosen.address}' is no address" if chosen.address else (
            "reports.address is not set: a report says who sends it"
        )  # fmt: skip
        hint = 'Write [reports] address = "dmarc-reports@YOUR.DOMAIN"; answers come back there.'
        raise Misconfigured(Fault(said, hint))
    program = f"{GENERATOR} {importlib.metadata.version('millrace')}"
    return Terms(Submitter(chosen.organization, chosen.address), chosen.contact, program)


def _hop(settings: Settings, send: str | None, terms: Terms) -> SmtpHop:
    text = send or settings.reports.relay
    if not text:
        raise click.UsageError("say where to: --send HOST:PORT, --to-dir DIR or --dry-run")
    found = _HOST_PORT.fullmatch(text)
    if found:
        kind = "inet6" if found[1] and ":" in found[1] else "inet"
        text = f"{kind}:{found[3]}@{found[1] or found[2]}"
    patience = Patience(connect=10.0, reply=30.0, mail=60.0)
    return SmtpHop(Endpoint.parse(text), terms.submitter.domain, patience=patience)


def _write(store: ReportStore, wanted: Iterable[tuple[int, str]], terms: Terms, to: Path) -> int:
    to.mkdir(parents=True, exist_ok=True)
    for day, domain in wanted:
        packed, _ = reporting.build(store, day, domain, terms)
        path = to / file_name(terms.submitter.domain, packed.report)
        path.write_bytes(packed.content)
        click.echo(str(path))
    return 0


async def _send(
    settings: Settings,
    store: ReportStore,
    wanted: list[tuple[int, str]],
    terms: Terms,
    hop: SmtpHop | None,
    given: dict[str, Any],
) -> int:
    zone = given["dns"]
    resolver = Services(settings).resolver() if zone is None else _zone(zone)
    cache = CachedDns(resolver, time.monotonic)
    counts: Counter[str] = Counter()
    try:
        dns = BudgetedDns(cache, LOOKUPS_MAX, float(LOOKUPS_MAX))
        run = Round(store, terms, dns, hop, SystemClock(), given["refused"])
        async for outcome in run.reports(iter(wanted)):
            counts[outcome.status] += 1
            click.echo(json.dumps(_data(outcome)) if given["as_json"] else _line(outcome))
    finally:
        await cache.close()
    if not given["as_json"]:
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        click.echo(told or "No report is due.", err=True)
    return 3 if counts["again"] else 0


def _zone(path: Path) -> Any:  # noqa: ANN401 - the resolver
    from millrace.engine.net.zone import ZoneDns

    return ZoneDns.load(path)


def _line(outcome: Outcome) -> str:
    report = outcome.packed.report
    date, mails = reporting.date_of(report.begin // DAY_S), counted(report.mails, "mail")
    to = f" to {outcome.destination}" if outcome.destination else ""
    status = "to be sent again" if outcome.status == "again" else outcome.status
    note = f" ({clean(outcome.note, 200)})" if outcome.note and outcome.status != "sent" else ""
    return f"{date}  {clean(report.published.domain, 60)}  {mails}{to}: {status}{note}"


def _data(outcome: Outcome) -> dict[str, Any]:
    report = outcome.packed.report
    return {
        "day": reporting.date_of(report.begin // DAY_S),
        "domain": report.published.domain,
        "report": report.id,
        "mails": report.mails,
        "rows": len(report.rows),
        "octets": outcome.packed.encoded_size,
        "destination": outcome.destination,
        "status": outcome.status,
        "note": outcome.note,
    }


# --- ingest


@dataclass(frozen=True, slots=True)
class _Taken:
    """One file: what it was in a sentence, and which of its reports are new."""

    name: str
    reading: unpack.Reading
    new: int = 0


@dmarc.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…|-")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file.")
@with_settings
def ingest(
    config: Path | None, overrides: tuple[str, ...], files: tuple[str, ...], as_json: bool
) -> int:
    """Read aggregate reports that others sent: mails, zip, gzip or XML; "-" is stdin.

    \b
    Examples:
      millrace dmarc ingest Maildir/new/*
      millrace dmarc ingest - < report.eml

    A report that was read before is not counted again.  Failure reports and TLS reports
    are named and left alone.  Exit status 1 when a file cannot be read.
    """
    settings = read(config, overrides)
    store = ReportStore(settings.at(settings.reports.path), settings.reports.keep)
    failed = False
    with contextlib.closing(store):
        for name in files:
            taken = _take(store, name)
            failed = failed or taken.reading.kind == "unreadable"
            click.echo(json.dumps(_taken_data(taken)) if as_json else _taken_line(taken))
    return 1 if failed else 0


def _take(store: ReportStore, name: str) -> _Taken:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(unpack.FILE_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(unpack.FILE_MAX + 1)
    except OSError as error:
        words = f"it cannot be opened: {error.strerror or error}"
        return _Taken(name, unpack.Reading("unreadable", (), words))
    reading = unpack.read(data)
    now = time.time()
    return _Taken(name, reading, sum(store.take(each, now) for each in reading.reports))


def _taken_line(taken: _Taken) -> str:
    reading, name = taken.reading, clean(taken.name, 300)
    if reading.kind == "unreadable":
        return f"{name}: cannot be read: {reading.why}"
    if not reading.reports:
        return f"{name}: {reading.why}"
    first = reading.reports[0]
    about = f"{first.organization} about {first.published.domain}, {_period(first)}"
    more = f" and {len(reading.reports) - 1} more" if len(reading.reports) > 1 else ""
    total = sum(each.mails for each in reading.reports)
    known = "" if taken.new == len(reading.reports) else " (known already)"
    if known and taken.new:
        known = f" ({taken.new} of them new)"
    return f"{name}: {about}{more}: {counted(total, 'mail')}{known}"


def _period(report: Report) -> str:
    first, last = (
        datetime.datetime.fromtimestamp(each, datetime.UTC).date().isoformat()
        for each in (report.begin, report.end)
    )
    return first if first == last else f"{first} to {last}"


def _taken_data(taken: _Taken) -> dict[str, Any]:
    reading = taken.reading
    return {
        "file": taken.name,
        "kind": reading.kind,
        "why": reading.why,
        "new": taken.new,
        "reports": [
            {
                "organization": each.organization,
                "report": each.id,
                "domain": each.published.domain,
                "begin": each.begin,
                "end": each.end,
                "mails": each.mails,
                "rows": len(each.rows),
                "passing": sum(c.count for c in each.rows if c.row.passes),
            }
            for each in reading.reports
        ],
    }
