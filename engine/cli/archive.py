"""`millrace archive`: look into what was kept."""

from __future__ import annotations

import datetime
import json
import sys
import time
from pathlib import Path

import click

from millrace.engine.cli.options import read, with_settings
from millrace.engine.store.archive import Archive, Entry


@click.group()
def archive() -> None:
    """List, read, verify and prune archived mail.

    \b
    Examples:
      millrace archive list
      millrace archive cat 4F2A1B > mail.eml
    """


def _open(config: Path | None, overrides: tuple[str, ...]) -> Archive:
    settings = read(config, overrides)
    return Archive(settings.at(settings.archive.path), looking=True)


@archive.command("list")
@with_settings
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(config: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """List every mail that was kept, the eldest first.

    \b
    Examples:
      millrace archive list
      millrace archive list --json
    """
    for entry in _open(config, overrides).entries():
        if as_json:
            click.echo(json.dumps({name: getattr(entry, name) for name in Entry.__struct_fields__}))
            continue
        moment = datetime.datetime.fromtimestamp(entry.time).astimezone()
        who = f"{entry.sender or '<>'} → {', '.join(entry.recipients)}"
        click.echo(f"{moment:%Y-%m-%d %H:%M:%S}  {entry.id:<16} {entry.sha256[:12]}  {who}")


@archive.command()
@with_settings
@click.argument("mail", metavar="ID")
def cat(config: Path | None, overrides: tuple[str, ...], mail: str) -> int:
    """Write one mail to stdout, byte for byte; ID is a mail's id or the start of its SHA-256.

    \b
    Examples:
      millrace archive cat 4F2A1B
      millrace archive cat 9f86d081884c
    """
    kept = _open(config, overrides)
    found = {entry.sha256 for entry in kept.entries(mail)}
    if len(found) != 1:
        words = f"{len(found)} mails are called so" if found else "no mail is called so"
        click.echo(f"{mail}: {words}; `millrace archive list` shows all", err=True)
        return 1
    sys.stdout.buffer.write(kept.content(found.pop()))
    return 0


@archive.command()
@with_settings
def verify(config: Path | None, overrides: tuple[str, ...]) -> int:
    """Read every mail and compare it with its SHA-256.

    \b
    Examples:
      millrace archive verify
      millrace archive verify --config /etc/millrace/millrace.toml
    """
    kept = _open(config, overrides)
    sums = {entry.sha256 for entry in kept.entries()}
    for sha256 in sorted(sums):
        kept.content(sha256)  # raises Unavailable with its name: exit status 3
    click.echo(f"{len(sums)} mails are whole")
    return 0


@archive.command()
@with_settings
def prune(config: Path | None, overrides: tuple[str, ...]) -> int:
    """Remove the segments of which every mail is past its keeping.

    \b
    Examples:
      millrace archive prune
      millrace archive prune --config /etc/millrace/millrace.toml
    """
    gone = _open(config, overrides).prune(time.time())
    click.echo(f"{len(gone)} segments removed")
    return 0
