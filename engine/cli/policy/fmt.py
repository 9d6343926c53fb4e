"""`millrace policy fmt`: put files in order that mean the same."""

from __future__ import annotations

import os
from pathlib import Path

import click

from millrace.engine import tomlwords
from millrace.engine.document import BOM
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.pipeline import spec
from millrace.engine.policy import keys, trial
from millrace.engine.policy.layout import REST, Orders, arranged

ORDERS: Orders = {
    "": (*keys.FILE_KEYS, *spec.FILE_KEYS),
    "rule": tuple(keys.RULE_KEYS),
    "weight": tuple(keys.WEIGHT_KEYS),
    "filter": ("use", "name", "when", REST, "timeout", "on_error"),
    "case": trial.KEYS,
}


@click.command()
@click.option("--check", is_flag=True, help="Change nothing, and say which files are not in order.")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
def fmt(files: tuple[Path, ...], check: bool) -> int:
    """Put keys in one order and one column; comments stay, and so does the meaning.

    \b
    Examples:
      millrace policy fmt policies/*.toml pipelines/*.toml
      millrace policy fmt --check policies/*.toml

    Exit status 0 when all is in order, 1 with --check when a file is not, 2 for a file that
    is no TOML.
    """
    changed = 0
    faults: list[Fault] = []
    for path in files:
        try:
            changed += _put_in_order(path, check)
        except Misconfigured as error:
            faults += error.faults
    if faults:
        raise Misconfigured(*faults)
    return 1 if check and changed else 0


def _put_in_order(path: Path, check: bool) -> bool:
    before = _text(path)
    after = arranged(before, str(path), ORDERS)
    if after == before:
        return False
    if not check:
        _replace(path, after)
    click.echo(f"{'not in order' if check else 'put in order'}  {path}")
    return True


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        words = f"cannot be read: {error.strerror}"
        hint = f"Name its files: {path}/*.toml" if path.is_dir() else ""
        raise Misconfigured(Fault(words, hint, Place(str(path)))) from None
    try:
        return data.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        raise Misconfigured(tomlwords.unreadable(data, error, str(path))) from None


def _replace(path: Path, text: str) -> None:
    """The whole file or nothing: a crash, or a full disk, leaves the old one."""
    target = path.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        beside.chmod(target.stat().st_mode & 0o7777)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        words = f"cannot be written: {error.strerror}"
        raise Misconfigured(Fault(words, place=Place(str(path)))) from None
