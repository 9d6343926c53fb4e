"""`millrace policy`: what is in force, what was, and what would be."""

from __future__ import annotations

import click

from millrace.engine.cli.lazy import Lazy

COMMANDS = {
    "show": "show:show",
    "log": "log:log",
    "diff": "diff:diff",
    "rollback": "rollback:rollback",
}


@click.command(cls=Lazy, package=__name__, table=COMMANDS)
def policy() -> None:
    """What is in force, what was, and what would be.

    \b
    Examples:
      millrace policy show --for bob@example.org
      millrace policy log
      millrace policy diff
      millrace policy rollback --why "too much was refused"
    """
