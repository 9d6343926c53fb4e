"""`millrace domain`: what the DNS says of a domain's mail, and what to mend."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import json
import shutil
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from millrace.engine.cli.options import read, with_settings
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.mailauth.survey import Subject, survey, worst
from millrace.engine.mailauth.survey.line import Line
from millrace.engine.net.dns import BudgetedDns, CachedDns, Resolver
from millrace.engine.net.zone import ZoneDns
from millrace.engine.services import Services
from millrace.engine.settings import Settings
from millrace.engine.store.keyring import ACTIVE, NEXT, KeyRing

LOOKUPS = 1_000  # of one survey: some sixty selectors, and a tree of SPF records
SECONDS = 60.0
WIDTH_LEAST, WIDTH_MOST = 80, 120
_STATUS = {"ok": 0, "wrong": 1, "unknown": 3}


@click.group()
def domain() -> None:
    """Look at a domain's records for mail.

    \b
    Examples:
      millrace domain check example.org
      millrace domain check example.org --dns zone.txt
    """


@domain.command()
@click.argument("name", metavar="DOMAIN")
@click.option("--selector", "selectors", multiple=True, metavar="NAME", help="A DKIM selector.")
@click.option("--ip", "addresses", multiple=True, metavar="ADDR", help="An address that sends.")
@click.option("--dns", type=click.Path(path_type=Path), metavar="ZONE", help="Answer from a file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_settings
def check(
    config: Path | None,
    overrides: tuple[str, ...],
    name: str,
    selectors: tuple[str, ...],
    addresses: tuple[str, ...],
    dns: Path | None,
    as_json: bool,
) -> int:
    """Check SPF, DKIM, DMARC, MX, PTR, MTA-STS, TLS-RPT and TLSA, and say what to mend.

    \b
    Examples:
      millrace domain check example.org --selector s2026 --ip 192.0.2.7
      millrace domain check example.org --dns zone.txt --json

    Selectors of our own keys are known; others are tried by the names in common use.  Exit
    status: 0 nothing is wrong, 1 something is, 3 the DNS did not answer for all.
    """
    settings = read(config, overrides)
    subject = _subject(settings, name, selectors, addresses)
    resolver = ZoneDns.load(dns) if dns is not None else Services(settings).resolver()
    lines = asyncio.run(_looked(subject, resolver))
    if as_json:
        data = {"domain": subject.domain, "state": worst(lines)}
        click.echo(json.dumps(data | {"lines": [dataclasses.asdict(line) for line in lines]}))
    else:
        width = min(max(shutil.get_terminal_size((80, 24)).columns, WIDTH_LEAST), WIDTH_MOST)
        click.echo("\n".join(_table(name, lines, width)))
    return _STATUS[worst(lines)]


def _subject(
    settings: Settings, name: str, selectors: Sequence[str], addresses: Sequence[str]
) -> Subject:
    domain = ascii_domain(name)
    if "." not in domain:
        raise click.BadParameter(f"'{name}' is no domain name", param_hint="DOMAIN")
    for selector in selectors:
        if not ascii_domain(selector):
            raise click.BadParameter(f"'{selector}' is no selector", param_hint="--selector")
    try:
        read_ = tuple(str(ipaddress.ip_address(address)) for address in addresses)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--ip") from None
    ring = KeyRing(settings.at(settings.keys.path))
    own = {
        key.selector: key.record for key in (*ring.keys(domain, ACTIVE), *ring.keys(domain, NEXT))
    }
    return Subject(domain, tuple(dict.fromkeys(selectors)), read_, own)


async def _looked(subject: Subject, resolver: Resolver) -> list[Line]:
    cache = CachedDns(resolver, time.monotonic)
    try:
        return await survey(subject, BudgetedDns(cache, LOOKUPS, SECONDS))
    finally:
        await cache.close()


# --- what a terminal shows


def _table(name: str, lines: list[Line], width: int) -> Iterator[str]:
    """The findings, then what to mend, numbered alike."""
    told = {"ok": "nothing is wrong", "wrong": "something is wrong"}.get(
        worst(lines), "the DNS did not answer for all"
    )
    yield f"{name}: {told}"
    yield ""
    mending = [at for at, line in enumerate(lines) if line.mend]
    numbers = {at: number for number, at in enumerate(mending, 1)}
    before = ""
    for at, line in enumerate(lines):
        subject = line.subject if line.subject != before else ""
        before = line.subject
        mark = f" [{numbers[at]}]" if at in numbers else ""
        yield from _folded(f"  {subject:<8} {line.state:<8} ", line.finding + mark, width)
    if numbers:
        yield "\nWhat to mend"
    for at, number in numbers.items():
        yield from _folded(f"  [{number}] ".ljust(7), lines[at].mend, width)


def _folded(head: str, text: str, width: int) -> list[str]:
    wrapped = textwrap.wrap(text, width - len(head), break_long_words=False, break_on_hyphens=False)
    return [
        (head if at == 0 else " " * len(head)) + part for at, part in enumerate(wrapped or [""])
    ]
