"""A group of commands whose modules are imported when they are called.

Fails: click.UsageError for a command that is not there, with the nearest one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from millrace.engine.document import nearest


class Lazy(click.Group):
    """`table` says which module of `package` holds a command: {"plan": "plan:plan"}."""

    def __init__(self, *args: Any, package: str, table: Mapping[str, str], **more: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **more)
        self._package, self._table = package, table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one needs them."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it."""
        where = self._table.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        found: click.Command = getattr(importlib.import_module(f"{self._package}.{module}"), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was probably meant."""
        name = args[0]
        if not name.startswith("-") and name not in self._table:
            near = nearest(name, self._table)
            lists = f"`{ctx.command_path} --help` lists them"
            hint = f"; did you mean '{near}'?" if near else f"; {lists}"
            raise click.UsageError(f"there is no command '{name}'{hint}", ctx)
        return super().resolve_command(ctx, args)
