"""`millrace version`."""

from __future__ import annotations

import importlib.metadata
import platform

import click

_SHOWN = (
    "dkimpy",
    "pyspf",
    "authres",
    "dnspython",
    "cryptography",
    "redis",
    "clamd",
    "scikit-learn",
)


@click.command()
def version() -> None:
    """Print the version, and those of what it stands on.

    \b
    Examples:
      millrace version
      millrace --version
    """
    click.echo(f"millrace {importlib.metadata.version('millrace')}")
    click.echo(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in _SHOWN:
        try:
            click.echo(f"  {name:<14}{importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            click.echo(f"  {name:<14}not installed")
