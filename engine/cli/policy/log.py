"""`millrace policy log`: what was in force, since when, by whom and why."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import click

from millrace.engine import history
from millrace.engine.cli.options import read, with_settings
from millrace.engine.store.history import Accepted


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("-n", "count", type=int, default=20, show_default=True, help="How many.")
@with_settings
def log(config: Path | None, overrides: tuple[str, ...], count: int, as_json: bool) -> int:
    """Show what was put in force, the newest first.

    \b
    Examples:
      millrace policy log
      millrace policy log -n 100 --json
    """
    settings = read(config, overrides)
    entries = history.history(settings).log()[:count]
    now = history.in_force(settings)
    told = False
    for entry in entries:
        if as_json:
            click.echo(json.dumps(asdict(entry), ensure_ascii=False))
            continue
        mark = "   in force" if entry.revision == now and not told else ""
        told = told or bool(mark)
        click.echo(_line(entry) + mark)
    if not entries and not as_json:
        click.echo(f"nothing is kept in {history.history(settings).folder} yet", err=True)
    return 0


def _line(entry: Accepted) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.time))
    parts = [f"{entry.revision:<12}  {moment}  {entry.how:<8}"]
    parts += [entry.who] if entry.who else []
    parts += [f"git {entry.commit[:10]}"] if entry.commit else []
    return "  ".join(parts) + (f": {entry.why}" if entry.why else "")
