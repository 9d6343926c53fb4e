"""`millrace list`: look into the lists that conditions name, and change them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from millrace.engine.cli.options import read, who, with_settings
from millrace.engine.document import meant, nearest
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.lists.editing import Line, ListFile, trail
from millrace.engine.lists.entries import FOREVER, KINDS, shown, written
from millrace.engine.lists.shelf import kind_of
from millrace.engine.options import Unfit, seconds

_MOMENT_BELOW = 2 * 86400  # seconds; what lasts shorter ends at a minute, not with a day
_LAST = 5  # changes that `show` tells


@click.group(name="list")
def listing() -> None:
    """Look into the lists that conditions name (`from.domain in lists.partners`), and change them.

    \b
    Examples:
      millrace list add partners example.org --for 30d --why "fair in March"
      millrace list find partners mail.example.org
      millrace list show

    A list is a file in policies/lists: NAME.domains, NAME.addresses, NAME.networks, NAME.patterns
    or NAME.map.  A daemon that runs takes a change within a second or two.
    """


@listing.command()
@click.argument("name")
@click.argument("value")
@click.argument("of_map", metavar="[= VALUE]", nargs=-1)
@click.option("--for", "lasting", metavar="TIME", help="How long it holds, such as 30d or 6h.")
@click.option("--why", default="", help="The reason, kept beside the entry.")
@with_settings
def add(
    config: Path | None,
    overrides: tuple[str, ...],
    name: str,
    value: str,
    of_map: tuple[str, ...],
    lasting: str | None,
    why: str,
) -> int:
    """Add a value; one that is there gets the new end and reason.

    \b
    Examples:
      millrace list add partners .example.org --why "all hosts of theirs"
      millrace list add offices 192.0.2.0/24 --for 6h
      millrace list add tier.map example.org = gold          (makes the list, if there is none)
    """
    file = _file(config, overrides, name, may_be_new=True)
    entry = file.entry(" ".join((value, *of_map)), _until(lasting), why)
    done = file.add(entry)
    if done is None:
        click.echo(f"{file.path.name}: {entry.key} stands there already")
    else:
        click.echo(f"{file.path}:{done.line}: {written(done.entry, file.kind)}")
    return 0


@listing.command()
@click.argument("name")
@click.argument("value")
@click.option("--why", default="", help="The reason, kept in the trail.")
@with_settings
def remove(config: Path | None, overrides: tuple[str, ...], name: str, value: str, why: str) -> int:
    """Remove a value, written as in the list.

    \b
    Example:
      millrace list remove partners .example.org --why "they left"

    Exit status 1 when it does not stand there.
    """
    file = _file(config, overrides, name)
    key = value.partition("=")[0].strip()
    # of a map the key will do
    gone = file.remove(file.entry(f"{key} = x" if file.kind == "map" else value), why)
    for each in gone:
        click.echo(f"{file.path}:{each.line}: removed {written(each.entry, file.kind)}")
    if not gone:
        click.echo(f"{value} does not stand in {file.path}", err=True)
    wider = [each for each in file.finding(key) if each.in_force]
    for each in wider:
        click.echo(f"{key} is still held by line {each.line}: {each.entry.key}", err=True)
    return 0 if gone else 1


@listing.command()
@click.argument("name")
@click.argument("value")
@with_settings
def find(config: Path | None, overrides: tuple[str, ...], name: str, value: str) -> int:
    """Say which lines hold a value, as a condition would ask for it.

    \b
    Example:
      millrace list find partners mail.example.org

    Exit status 1 when none does that is in force.
    """
    file = _file(config, overrides, name)
    found = file.finding(value)
    for each in found:
        click.echo(f"{file.path}:{each.line}: {_told(file, each)}")
    if not found:
        click.echo(f"{value} is not held by {file.path}")
    return 0 if any(each.in_force for each in found) else 1


@listing.command()
@click.argument("name")
@with_settings
def prune(config: Path | None, overrides: tuple[str, ...], name: str) -> int:
    """Remove the entries that have ended."""
    file = _file(config, overrides, name)
    gone = file.prune()
    for each in gone:
        click.echo(f"{file.path}:{each.line}: removed {written(each.entry, file.kind)}")
    click.echo(f"{len(gone)} removed")
    return 0


@listing.command()
@click.argument("name", required=False)
@with_settings
def show(config: Path | None, overrides: tuple[str, ...], name: str | None) -> int:
    """Show all lists, or the entries of one and its latest changes."""
    if name is None:
        files = _files(config, overrides)
        if not files:
            click.echo(f"there are no lists in {_folder(config, overrides)}")
        for file in files:
            lines = list(file.lines())
            ended = sum(not each.in_force for each in lines)
            told = f"{len(lines)} entr" + ("y" if len(lines) == 1 else "ies")
            told += f", {ended} of them ended" if ended else ""
            click.echo(f"{file.path.stem:<20} {file.kind:<10} {told}")
        return 0
    file = _file(config, overrides, name)
    if not list(file.lines()):
        click.echo(f"{file.path} holds nothing")
    for each in file.lines():
        click.echo(f"{each.line:>6}  {_told(file, each)}")
    for line in _latest(trail(file.path)):
        told = json.loads(line)
        why = f": {told['why']}" if told["why"] else ""
        click.echo(f"{told['time']}  {told['who']} {told['what']} {told['value']}{why}")
    return 0


def _latest(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()[-_LAST:]
    except (OSError, UnicodeDecodeError):  # a trail is told where it can be
        return []


def _told(file: ListFile, each: Line) -> str:
    ended = "" if each.in_force else f"   (ended: {shown(each.entry.until)})"
    return written(each.entry, file.kind) + ended


def _folder(config: Path | None, overrides: tuple[str, ...]) -> Path:
    settings = read(config, overrides)
    return settings.at(settings.policies) / "lists"


def _files(config: Path | None, overrides: tuple[str, ...]) -> list[ListFile]:
    folder = _folder(config, overrides)
    try:
        found = sorted(path for path in folder.iterdir() if path.is_file())
    except FileNotFoundError:
        return []
    except OSError as error:
        words = f"cannot be read: {error.strerror}"
        raise Misconfigured(Fault(words, place=Place(str(folder)))) from None
    return [ListFile(path, kind, who()) for path in found if (kind := kind_of(path.name))]


def _file(
    config: Path | None, overrides: tuple[str, ...], name: str, *, may_be_new: bool = False
) -> ListFile:
    """The list of that name; NAME.KIND is understood too, and makes one where that is wanted."""
    files = _files(config, overrides)
    for file in files:
        if name in (file.path.stem, file.path.name):
            return file
    kind, stem = kind_of(name), name.rpartition(".")[0]
    if kind and may_be_new and stem.isidentifier():
        if there := [file.path.name for file in files if file.path.stem == stem]:
            hint = f"Conditions name lists without their kind, so {stem} is that one."
            raise Misconfigured(Fault(f"there is a list {there[0]} already", hint))
        return ListFile(_folder(config, overrides) / name, kind, who())
    hint = meant(name, [file.path.stem for file in files])
    if may_be_new:
        bare, _, wanted = name.partition(".")
        near = nearest(wanted, KINDS) or "KIND" if wanted else "KIND"
        hint += f"\nTo make one: millrace list add {bare}.{near} …"
        hint += f", KIND one of {' '.join(KINDS)}" if near == "KIND" else ""
    raise Misconfigured(Fault(f"there is no list '{name}'", hint.strip()))


def _until(lasting: str | None) -> int:
    if lasting is None:
        return FOREVER
    try:
        length = seconds(lasting)
    except Unfit as unfit:
        raise click.BadParameter(str(unfit), param_hint="--for") from None
    end = time.time() + length
    step = 60 if length < _MOMENT_BELOW else 86400
    return min(int(-(-end // step) * step), FOREVER - 1)
