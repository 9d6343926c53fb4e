"""`millrace config`: which settings are in force, and who chose them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from millrace.engine.cli.options import read, with_settings
from millrace.engine.options import options_of
from millrace.engine.settings import Listener, Settings, all_options


@click.group()
def config() -> None:
    """Look at the settings.

    \b
    Examples:
      millrace config show
      millrace config show --origin
    """


@config.command()
@with_settings
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(config: Path | None, overrides: tuple[str, ...], origin: bool, as_json: bool) -> None:
    """Print every setting as it is in force.

    \b
    Examples:
      millrace config show --origin
      MILLRACE_DNS_TIMEOUT=1s millrace config show --origin
    """
    settings = read(config, overrides)
    values = {name: _value(settings, name) for name in all_options()}
    if as_json:
        click.echo(json.dumps(_as_data(settings, values), indent=2))
        return
    width = max(len(name) for name in values)
    told = {name: json.dumps(_plain(value)) for name, value in values.items()}
    for name, text in told.items():
        source = f"   {settings.origins.get(name, 'default')}" if origin else ""
        click.echo(f"{name:<{width}}  {text:<24}{source}".rstrip())
    for at, listener in enumerate(settings.listener, 1):
        click.echo(f"listener {at:<{width - 9}}  {listener.kind} {listener.address}")


def _value(settings: Settings, name: str) -> object:
    found: object = settings
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON of any kind
    if isinstance(value, (tuple, frozenset)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _as_data(settings: Settings, values: dict[str, object]) -> dict[str, Any]:
    return {
        "source": settings.source,
        "settings": {
            name: {"value": _plain(value), "origin": settings.origins.get(name, "default")}
            for name, value in values.items()
        },
        "listeners": [
            {option.name: _plain(getattr(each, option.name)) for option in options_of(Listener)}
            for each in settings.listener
        ],
    }
