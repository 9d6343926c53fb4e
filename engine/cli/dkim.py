"""`millrace dkim`: the keys that sign our mail, from making to retiring them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from millrace.engine.cli.options import read, with_settings
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.ports import Answer
from millrace.engine.services import Services
from millrace.engine.settings import Settings
from millrace.engine.store.keyring import ACTIVE, NEXT, OLD, KeyRing, SigningKey

F = TypeVar("F", bound=Callable[..., Any])
KINDS = ("rsa", "ed25519")
STATES = {ACTIVE: "signs", NEXT: "to be published", OLD: "retired"}


@click.group()
def dkim() -> None:
    """Make, publish, check and rotate the keys of the `sign` filter.

    \b
    Examples:
      millrace dkim keygen example.org
      millrace dkim check example.org
    """


def _for_domain(command: F) -> F:
    return click.argument("domain", metavar="DOMAIN", callback=_ascii)(with_settings(command))


def _ascii(context: click.Context, parameter: click.Parameter, value: str) -> str:
    name = ascii_domain(value)
    if "." not in name:
        raise click.BadParameter(f"'{value}' is no domain name")
    return name


def _ring(config: Path | None, overrides: tuple[str, ...]) -> tuple[Settings, KeyRing]:
    settings = read(config, overrides)
    return settings, KeyRing(settings.at(settings.keys.path))


@dkim.command()
@_for_domain
@click.option("--selector", metavar="NAME", help="By default the year and month, then the kind.")
@click.option("--algorithm", type=click.Choice([*KINDS, "both"]), default="both", show_default=True)
def keygen(
    config: Path | None,
    overrides: tuple[str, ...],
    domain: str,
    selector: str | None,
    algorithm: str,
) -> int:
    """Make keys that sign at once, readable for this user alone, and print their records.

    \b
    Examples:
      millrace dkim keygen example.org
      millrace dkim keygen example.org --selector s1 --algorithm rsa
    """
    _, ring = _ring(config, overrides)
    made = [ring.make(domain, name, kind) for kind, name in _names(selector, algorithm)]
    _print_records(made, as_zone=True)
    click.echo(
        "\nPublish these, wait until `millrace dkim check` finds them, then reload.", err=True
    )
    return 0


def _names(selector: str | None, algorithm: str) -> list[tuple[str, str]]:
    kinds = KINDS if algorithm == "both" else (algorithm,)
    stem = selector or time.strftime("%Y%m")
    one = selector is not None and len(kinds) == 1
    return [(kind, stem if one else f"{stem}{kind[0]}") for kind in kinds]


@dkim.command()
@_for_domain
@click.option("--one-line", is_flag=True, help="NAME and TEXT, for a provider's web form.")
def publish(config: Path | None, overrides: tuple[str, ...], domain: str, one_line: bool) -> int:
    """Print the DNS records of all keys that sign or will sign.

    \b
    Examples:
      millrace dkim publish example.org >> example.org.zone
      millrace dkim publish example.org --one-line
    """
    _, ring = _ring(config, overrides)
    keys = [*ring.keys(domain, ACTIVE), *ring.keys(domain, NEXT)]
    if not keys:
        return _none(domain)
    _print_records(keys, as_zone=not one_line)
    return 0


def _print_records(keys: Iterable[SigningKey], *, as_zone: bool) -> None:
    for key in keys:
        if not as_zone:
            click.echo(f"{key.name}  {key.record}")
            continue
        # a string of a TXT record holds 255 octets at most (RFC 1035 §3.3)
        starts = range(0, len(key.record), 200)
        pieces = " ".join(f'"{key.record[at : at + 200]}"' for at in starts)
        click.echo(f"{key.name}. 3600 IN TXT ( {pieces} )")


@dkim.command()
@_for_domain
def check(config: Path | None, overrides: tuple[str, ...], domain: str) -> int:
    """Compare every key with what the DNS says.

    \b
    Examples:
      millrace dkim check example.org
      millrace dkim check example.org --set dns.zone=zone.json

    Exit status 1 when a key that signs is not published as it is.
    """
    settings, ring = _ring(config, overrides)
    keys = [(key, state) for state in STATES for key in ring.keys(domain, state)]
    if not keys:
        return _none(domain)
    answers = asyncio.run(_ask(settings, [key for key, _ in keys]))
    wrong = 0
    for (key, state), answer in zip(keys, answers, strict=True):
        trouble = _trouble(key, answer)
        told = trouble or "published as it is"
        click.echo(f"{key.name:<44} {key.algorithm:<15} {STATES[state]:<16} {told}")
        wrong += bool(trouble) and state == ACTIVE
    return 1 if wrong else 0


async def _ask(settings: Settings, keys: list[SigningKey]) -> list[Answer]:
    resolver = Services(settings).resolver()
    try:
        return [await resolver.lookup(key.name, "TXT") for key in keys]
    finally:
        await resolver.close()


def _trouble(key: SigningKey, answer: Answer) -> str:
    if answer.failed:
        return f"the DNS does not answer ({answer.status})"
    if not answer.texts:
        return "not published"
    wanted = _public(key.record)
    published = {_public(text.decode("ascii", "replace")) for text in answer.texts}
    if len(answer.texts) > 1:
        return "published more than once"
    return "" if wanted in published else "another key is published"


def _public(record: str) -> str:
    tags = (part.partition("=") for part in record.split(";"))
    found = {name.strip(): "".join(value.split()) for name, _, value in tags}
    return found.get("p", "")


@dkim.command()
@_for_domain
@click.option("--activate", is_flag=True, help="The second step: sign with the new keys.")
def rotate(config: Path | None, overrides: tuple[str, ...], domain: str, activate: bool) -> int:
    """Change keys in two steps, so that no mail under way breaks.

    \b
    Examples:
      millrace dkim rotate example.org               makes new keys, prints their records
      millrace dkim rotate example.org --activate    when they are published: signs with them

    The old keys stop signing at once; their records stay until mail under way has arrived.
    """
    settings, ring = _ring(config, overrides)
    if not activate:
        return _rotate_first(ring, domain)
    new = list(ring.keys(domain, NEXT))
    if not new:
        click.echo(
            f"{domain} has no new keys; `millrace dkim rotate {domain}` makes them", err=True
        )
        return 1
    answers = asyncio.run(_ask(settings, new))
    troubles = [(key, _trouble(key, a)) for key, a in zip(new, answers, strict=True)]
    if any(trouble for _, trouble in troubles):
        for key, trouble in troubles:
            click.echo(f"{key.name}: {trouble or 'published as it is'}", err=True)
        click.echo("Nothing was changed.", err=True)
        return 1
    for key in list(ring.keys(domain, ACTIVE)):
        ring.move(key, ACTIVE, OLD)
        click.echo(f"{key.name}  retired; remove its record in a week")
    for key in new:
        ring.move(key, NEXT, ACTIVE)
        click.echo(f"{key.name}  signs")
    return 0


def _rotate_first(ring: KeyRing, domain: str) -> int:
    active = list(ring.keys(domain, ACTIVE))
    if not active:
        return _none(domain)
    if waiting := list(ring.keys(domain, NEXT)):
        names = ", ".join(key.selector for key in waiting)
        click.echo(
            f"{domain} has new keys already: {names}; publish them, then --activate", err=True
        )
        return 1
    stem = time.strftime("%Y%m%d")
    kinds = {key.algorithm.partition("-")[0] for key in active}
    made = [ring.make(domain, f"{stem}{kind[0]}", kind, NEXT) for kind in sorted(kinds)]
    _print_records(made, as_zone=True)
    click.echo(f"\nPublish these, then:  millrace dkim rotate {domain} --activate", err=True)
    return 0


def _none(domain: str) -> int:
    click.echo(f"{domain} has no keys; `millrace dkim keygen {domain}` makes them", err=True)
    return 1
