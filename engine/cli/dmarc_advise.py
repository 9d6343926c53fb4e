"""`millrace dmarc advise`: what reports say of a domain, and what to publish next."""

from __future__ import annotations

import contextlib
import json
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from millrace.engine import reporting
from millrace.engine.cli.options import read, with_settings
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.mailauth.reports.advice import (
    CAUSES,
    THRESHOLDS,
    Advice,
    Source,
    counted,
)
from millrace.engine.mailauth.reports.advice import advise as judge
from millrace.engine.mailauth.reports.aggregate import DAY_S, Report, clean
from millrace.engine.mailauth.reports.letter import Submitter
from millrace.engine.options import Unfit, seconds
from millrace.engine.reporting import Terms
from millrace.engine.store.reports import ReportStore

LISTED = 12  # sources in the table
WIDTH = 80
ADDRESS = 20  # columns of the table's first
OURSELVES = Terms(Submitter("(this server)", "observed@localhost"))


def _domain(context: click.Context, parameter: click.Parameter, value: str) -> str:
    name = ascii_domain(value)
    if "." not in name:
        raise click.BadParameter(f"'{value}' is no domain name")
    return name


def _age(context: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return seconds(value)
    except Unfit as unfit:
        raise click.BadParameter(str(unfit)) from None


@click.command()
@click.argument("domain", callback=_domain)
@click.option("--since", default="30d", show_default=True, callback=_age, help="How far back.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_settings
def advise(
    config: Path | None, overrides: tuple[str, ...], domain: str, since: float, as_json: bool
) -> int:
    """Say which sources pass and fail for a domain, and whether its policy may be raised.

    \b
    Examples:
      millrace dmarc advise example.org
      millrace dmarc advise example.org --since 90d --json

    From the reports that `millrace dmarc ingest` read, and from what this server saw.

    Exit status 0 when the next policy is safe, 1 when not yet.
    """
    settings = read(config, overrides)
    store = ReportStore(settings.at(settings.reports.path), settings.reports.keep, create=False)
    with contextlib.closing(store):
        after = time.time() - since
        own, wanted = _observed(store, domain, after)
        found = judge(domain, [*store.reports(domain, after), *own], wanted)
        latest = store.latest(domain)
    page = _page(found) if found.reports else _nothing(found, latest)
    click.echo(json.dumps(_data(found), indent=2) if as_json else "\n".join(page))
    return 0 if found.safe else 1


def _observed(store: ReportStore, domain: str, after: float) -> tuple[list[Report], str]:
    """What this server saw, as if it had told us; and the rua tag that it saw last."""
    made, wanted = [], ""
    for day, name in store.days():
        if (name == domain or name.endswith("." + domain)) and (day + 1) * DAY_S > after:
            packed, rua = reporting.build(store, day, name, OURSELVES)
            made.append(packed.report)
            wanted = rua if name == domain else wanted
    return made, clean(wanted.replace('"', ""), 500)


def _nothing(found: Advice, latest: int) -> Iterator[str]:
    if latest:
        date = reporting.date_of(latest // DAY_S)
        yield f"No report about {found.domain} is of that time; the last ends on {date}."
        yield "Look further back by --since, such as --since 2y."
        return
    yield f"There is no report about {found.domain} yet.  Publish, and change the address:"
    yield f"  {found.record}"
    yield "Then read what comes there with `millrace dmarc ingest`."


def _page(found: Advice) -> Iterator[str]:
    yield _headline(found)
    yield ""
    names = ", ".join(clean(name, 30) for name in found.reporters)
    yield from _folded(
        f"{counted(found.mails, 'mail')} from {counted(len(found.sources), 'source')}"
        f" in {counted(found.days, 'day')}, told by {counted(found.reports, 'report')}"
        f" ({names}): {found.share:.1%} pass."
    )
    yield ""
    yield f"{'source':<{ADDRESS}}{'mails':>9}{'DKIM':>8}{'SPF':>8}{'fail':>8}  speaks for"
    for source in found.sources[:LISTED]:
        yield from _row(source)
    if len(found.sources) > LISTED:
        rest = found.sources[LISTED:]
        yield f"{f'and {len(rest):,} more':<{ADDRESS}}{sum(s.mails for s in rest):>9,}"
    yield from _failures(found)
    yield ""
    yield from _conclusion(found)


def _headline(found: Advice) -> str:
    if found.safe and found.policy == "reject":
        return f"KEEP  {found.domain} publishes p=reject, and its mail passes"
    if found.safe:
        return f"SAFE  {found.domain} may move from p={found.policy} to p={found.target}"
    if found.policy == "reject":
        return f"LOOK  {found.domain} publishes p=reject, and this is not all well"
    return f"NOT YET  {found.domain} should stay at p={found.policy}"


def _row(source: Source) -> Iterator[str]:
    speaks = ", ".join(name for name, _ in source.speaks.most_common(2)) or "nobody"
    parts = (source.by_dkim, source.by_spf, source.failing)
    figures = f"{source.mails:>9,}" + "".join(f"{number:>8,}" for number in parts)
    ip = source.ip
    if len(ip) >= ADDRESS:  # an IPv6 address in full has a line of its own
        yield ip
        ip = ""
    yield f"{ip:<{ADDRESS}}{figures}  {clean(speaks, WIDTH - ADDRESS - 35)}"


def _failures(found: Advice) -> Iterator[str]:
    failing = [source for source in found.sources if source.failing]
    if not failing:
        return
    yield ""
    yield "What fails, and most likely why"
    for source in sorted(failing, key=lambda each: -each.failing)[:LISTED]:
        assert source.cause is not None
        authors = ", ".join(name for name, _ in source.authors.most_common(2))
        speaks = ", ".join(name for name, _ in source.speaks.most_common(2))
        told = f" ({clean(speaks, 60)})" if speaks else ""
        yield from _folded(
            f"{source.ip}{told}, {counted(source.failing, 'mail')} as {clean(authors, 60)}:"
            f" {CAUSES[source.cause]}",
            "  ",
        )


def _conclusion(found: Advice) -> Iterator[str]:
    for reason in found.reasons:
        yield from _folded(f"Not yet, since {reason}.", "")
    bound = THRESHOLDS[found.target]
    yield from _folded(
        f"p={found.target} is called safe from {bound.mails} mails of {bound.days} days on, when"
        f" at most {bound.failing:.1%} of the domain's own mail fails. Mail that nothing speaks"
        " for is not counted as the domain's own."
    )
    yield ""
    yield "Publish next:" if found.safe else "Publish meanwhile:"
    yield f"  {found.record}"


def _folded(text: str, indent: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent and indent * 2
    )


def _data(found: Advice) -> dict[str, Any]:
    return {
        "domain": found.domain,
        "policy": found.policy,
        "target": found.target,
        "safe": found.safe,
        "reasons": list(found.reasons),
        "record": found.record,
        "mails": found.mails,
        "passing": found.passing,
        "share": round(found.share, 4),
        "own_failing": found.own_failing,
        "days": found.days,
        "reports": found.reports,
        "sources": [
            {
                "ip": source.ip,
                "mails": source.mails,
                "dkim": source.by_dkim,
                "spf": source.by_spf,
                "failing": source.failing,
                "cause": source.cause,
                "why": CAUSES[source.cause] if source.cause else "",
                "speaks": dict(source.speaks.most_common(5)),
                "authors": dict(source.authors.most_common(5)),
                "reporters": sorted(source.reporters),
            }
            for source in found.sources
        ],
    }
