"""`millrace policy`: what is in force, what was, and what would be."""

from __future__ import annotations

import click

from millrace.engine.cli.lazy import Lazy

COMMANDS = {
    "test": "test:test",
}


@click.command(cls=Lazy, package=__name__, table=COMMANDS)
def policy() -> None:
    """What is in force, what was, and what would be.

    \b
    Examples:
      millrace policy test
      millrace policy test --new mail.eml --ip 192.0.2.7
    """
