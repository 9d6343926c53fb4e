"""Options that several commands share, and the settings that they lead to."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from millrace.engine import settings
from millrace.engine.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def with_settings(command: F) -> F:
    """Add --config and --set; the command gets them as `config` and `overrides`."""
    command = click.option(
        "--set",
        "overrides",
        metavar="NAME=VALUE",
        multiple=True,
        help="Override one setting, such as dns.timeout=1s.",
    )(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The settings file; by default ./millrace.toml or /etc/millrace/millrace.toml.",
    )(command)


def read(config: Path | None, overrides: tuple[str, ...]) -> Settings:
    """The settings that these options, the environment and the file make."""
    named = dict(_pair(text) for text in overrides)
    return settings.load(config or settings.discover(os.environ), os.environ, named)


def who() -> str:
    """Who gives the command: the one behind sudo, where there is one."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"'{text}' is not NAME=VALUE", param_hint="--set")
    return name.strip(), value.strip()
