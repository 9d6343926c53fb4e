"""`millrace reload`, `millrace restart`: new files or code for the one that runs."""

from __future__ import annotations

from pathlib import Path

import click

from millrace.engine.cli.office import ask, ask_reload, at_option, endpoint
from millrace.engine.cli.options import who, with_settings
from millrace.engine.pending import Pending


@click.command()
@at_option
@with_settings
@click.option("--why", default="", help="The reason, for `millrace policy log`.")
def reload(config: Path | None, overrides: tuple[str, ...], at: str | None, why: str) -> int:
    """Put the pipelines and policies of now in force, in all workers or in none.

    Settings are not read anew; those that were changed meanwhile, and need `millrace restart`,
    are named.

    \b
    Examples:
      millrace reload
      millrace reload --why "the fair is over"
      millrace reload --at inet:9980@127.0.0.1

    Exit status: 0, or 1 when they are no good and the ones before serve on.
    """
    where = endpoint(at, config, overrides)
    code, told = ask_reload(where, who(), why)
    for problem in told["problems"]:
        click.echo(problem, err=True)
    revisions = " ".join(sorted(set(told["revisions"].values())))
    click.echo(f"{told['result']}: revision {revisions} serves")
    if told["rollback"]:
        click.echo("It is that of a rollback, which ends when the files are changed and taken.")
    if waits := str(Pending.from_json(told)):
        click.echo(waits)
    return 0 if code == 200 else 1


@click.command()
@at_option
@with_settings
def restart(config: Path | None, overrides: tuple[str, ...], at: str | None) -> int:
    """Start the daemon anew, settings and code too, with its doors open all the while.

    New workers take over before the old ones leave.  The start is rehearsed first: when it would
    fail, nothing happens.

    \b
    Examples:
      millrace restart
      millrace restart --at inet:9980@127.0.0.1

    Exit status: 0, or 1 when it would not have started and the old one serves on.
    """
    code, told = ask(endpoint(at, config, overrides), "POST", "/restart")
    for problem in told["problems"]:
        click.echo(problem, err=True)
    click.echo(told["result"])
    return 0 if code == 202 else 1
