"""`millrace policy`: the language and its files, what is in force, and what was."""

from __future__ import annotations

import click

from millrace.engine.cli.lazy import Lazy

COMMANDS = {
    "test": "test:test",
    "reference": "reference:reference",
    "schema": "schema:schema",
    "fmt": "fmt:fmt",
    "show": "show:show",
    "log": "log:log",
    "diff": "diff:diff",
    "rollback": "rollback:rollback",
}


@click.command(cls=Lazy, package=__name__, table=COMMANDS)
def policy() -> None:
    """Everything about policy files: their words, their order, what counts, and what did.

    \b
    Examples:
      millrace policy test
      millrace policy reference spf
      millrace policy fmt policies/*.toml
      millrace policy show --for bob@example.org
      millrace policy diff
      millrace policy rollback --why "too much was refused"
    """
