"""`millrace init`: a settings file, a pipeline and a policy to begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from millrace.engine.plans import shelf_folder

TEMPLATE = Path(__file__).parent / "templates" / "millrace.toml"
DATA = "/var/lib/millrace"
SHIPPED = {
    "pipelines/inbound.toml": shelf_folder("pipelines") / "inbound.toml",
    "policies/default.toml": shelf_folder("policies") / "default.toml",
    "policies/default.test.toml": shelf_folder("policies") / "default.test.toml",
}


@click.command()
@click.argument(
    "folder", default=".", type=click.Path(path_type=Path, file_okay=False), metavar="[FOLDER]"
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
def init(folder: Path, force: bool) -> int:
    """Write commented settings, a pipeline, and a policy with its tests.

    \b
    Examples:
      millrace init
      millrace init /etc/millrace

    Files that are there already are left alone.
    """
    for path, text in files(folder):
        if path.exists() and not force:
            click.echo(f"left alone  {path}")
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
        click.echo(f"written     {path}")
    settings = folder / "millrace.toml"
    click.echo(f"\nNow:  millrace check --config {settings}")
    click.echo(f"      millrace run --config {settings}")
    return 0


def files(folder: Path) -> Iterator[tuple[Path, str]]:
    """What stands in a new folder."""
    text = TEMPLATE.read_text("utf-8")
    if folder.absolute().is_relative_to("/etc"):  # a service writes nothing there
        for name in ("state.db", "archive", "decisions.jsonl", "lists.index", "history"):
            text = text.replace(f'"{name}"', f'"{DATA}/{name}"').replace(
                f":{name}", f":{DATA}/{name}"
            )
    yield folder / "millrace.toml", text
    for name, source in SHIPPED.items():
        yield folder / name, source.read_text("utf-8")
