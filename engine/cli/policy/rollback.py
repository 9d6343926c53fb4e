"""`millrace policy rollback`: a revision that was in force serves again, at once."""

from __future__ import annotations

from pathlib import Path

import click

from millrace.engine import history
from millrace.engine.cli.office import ask_reload, at_option, endpoint
from millrace.engine.cli.options import read, who, with_settings
from millrace.engine.errors import Fault, Misconfigured, Unavailable
from millrace.engine.history import Asked
from millrace.engine.settings import Settings
from millrace.engine.store.history import Rollback


@click.command()
@click.argument("revision", required=False)
@click.option("--why", default="", help="The reason, for `millrace policy log`.")
@at_option
@with_settings
def rollback(
    config: Path | None,
    overrides: tuple[str, ...],
    at: str | None,
    revision: str | None,
    why: str,
) -> int:
    """Let a revision serve again: the named one, or the one before that which serves.

    The files are left as they are.  The revision serves, over restarts too, until the files are
    changed and accepted: `millrace reload` takes them then.  Lists stay as they are.

    \b
    Examples:
      millrace policy rollback
      millrace policy rollback 3f9c2a1 --why "too much was refused"

    Exit status: 0, 1 when it cannot serve any more, 3 when no daemon answers (it will then
    serve from the next start on).
    """
    settings = read(config, overrides)
    kept = history.history(settings)
    wanted = kept.find(revision or _before(settings)).revision
    kept.snapshot(kept.find(wanted))
    asked = Asked(who(), why)
    before = history.roll_back(settings, wanted, asked)
    where = endpoint(at, config, overrides)
    try:
        code, told = ask_reload(where, asked.who, why)
    except Unavailable as error:
        hint = f"{wanted} will serve from the next start on, or after SIGHUP."
        raise Unavailable(error.what, f"{error.detail}. {hint}") from None
    if code != 200:
        return _refused(settings, before, told["problems"])
    click.echo(f"revision {wanted} serves; the files are as they were")
    click.echo("Mend them, then: millrace policy diff, millrace reload")
    return 0


def _before(settings: Settings) -> str:
    found = history.before(settings)
    if not found:
        hint = "`millrace policy log` lists what is kept."
        raise Misconfigured(Fault("nothing is kept from before what serves", hint))
    return found


def _refused(settings: Settings, before: Rollback | None, problems: list[str]) -> int:
    history.history(settings).roll_back(before)
    for problem in problems:
        click.echo(problem, err=True)
    click.echo("the rollback was refused, and everything is as it was", err=True)
    return 1
