"""`millrace policy diff`: what one revision does otherwise than another, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from millrace.engine import difference, history, plans
from millrace.engine.cli.options import read, with_settings
from millrace.engine.difference import Section
from millrace.engine.policy.difference import Change
from millrace.engine.settings import Settings
from millrace.engine.store.history import Snapshot


@click.command()
@click.argument("old", metavar="A", default="now")
@click.argument("new", metavar="B", default="files")
@click.option("--json", "as_json", is_flag=True, help="One object: A, B and the changes by file.")
@with_settings
def diff(config: Path | None, overrides: tuple[str, ...], old: str, new: str, as_json: bool) -> int:
    """Say what revision B does otherwise than A, in meaning, not in lines.

    \b
    A and B are revisions of `millrace policy log` (the first letters will do), `now` for what
    is in force, or `files` for the files as they are.  Without them: now and files.

    \b
    Examples:
      millrace policy diff                    what would a reload change?
      millrace policy diff 3f9c2a1 now
    """
    settings = read(config, overrides)
    before, after = (_snapshot(settings, word) for word in (old, new))
    found = difference.sections(before, after)
    if as_json:
        told = [asdict(section) for section in found]
        click.echo(json.dumps({"a": before.revision, "b": after.revision, "sections": told}))
        return 0
    click.echo(f"{_name(old, before)} → {_name(new, after)}")
    for line in _lines(found):
        click.echo(line)
    return 0


def _snapshot(settings: Settings, word: str) -> Snapshot:
    if word == "files":
        plans.lists(settings)
        return history.snapshot(settings, history.served(settings))
    return history.history(settings).snapshot(history.accepted(settings, word))


def _name(word: str, found: Snapshot) -> str:
    return f"{found.revision} ({word})" if word in ("now", "files") else found.revision


def _lines(found: list[Section]) -> Iterator[str]:
    for section in found:
        yield ""
        yield section.title
        for change in section.changes:
            yield from _change(change)
    if not found:
        yield "no difference in meaning"


def _change(change: Change) -> Iterator[str]:
    yield f"  {change.sentence}"
    if change.was:
        yield f"      was  {change.was}"
    if change.now:
        yield f"      now  {change.now}" if change.was else f"      {change.now}"
