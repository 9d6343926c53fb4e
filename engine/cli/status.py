"""`millrace status`: who runs, with what in hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from millrace.engine.cli.office import ask, at_option, endpoint
from millrace.engine.cli.options import with_settings
from millrace.engine.pending import Pending

_GAP = "  "


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The page /status as it is.")
@at_option
@with_settings
def status(config: Path | None, overrides: tuple[str, ...], at: str | None, as_json: bool) -> int:
    """Show the workers of the daemon that runs, its doors, what is in work, and its services.

    \b
    Examples:
      millrace status
      millrace status --at inet:9980@127.0.0.1 --json

    Exit status: 0 when mail is taken, 1 when it is not, 3 when no daemon answers.
    """
    code, told = ask(endpoint(at, config, overrides), "GET", "/status")
    click.echo(json.dumps(told, indent=2) if as_json else "\n".join(_page(told)))
    return 0 if code == 200 and told["status"] in ("ready", "degraded") else 1


def _page(told: dict[str, Any]) -> Iterator[str]:
    head = (f"millrace {told['version']}", told["profile"], f"revision {told['revision']}")
    yield " · ".join(
        (told["status"].upper(), *head, f"pid {told['pid']}", f"since {told['since']}")
    )
    yield ""
    words = ("worker", "pid", "state", "alive", "connections", "mails", "memory", "CPU", "files")
    yield from _table([words, *map(_worker, told["workers"])])
    yield ""
    doors = [(d["kind"], d["address"], f"{d['connections']} open") for d in told["doors"]]
    yield from _table(doors)
    yield ""
    yield from _table([_service(name, each) for name, each in told["services"].items()])
    yield from _afterwards(told)


def _worker(worker: dict[str, Any]) -> tuple[str, ...]:
    mails = f"{worker['mails']} ({_size(worker['octets'])})" if worker["mails"] else "0"
    return (
        str(worker["slot"]),
        str(worker["pid"]),
        worker["phase"] + (", to be replaced" if worker["outdated"] else ""),
        _time(worker["alive_s"]),
        str(worker["connections"]),
        mails,
        _size(worker["rss"]),
        f"{worker['cpu_s']:.1f} s",
        str(worker["descriptors"]),
    )


def _service(name: str, service: dict[str, Any]) -> tuple[str, ...]:
    told = service.get("breaker", {})
    if told.get("state", "closed") != "closed":
        when = (
            "next mail tries"
            if told["state"] == "half-open"
            else f"next try in {told['next_try_s']:.0f} s"
        )
        return name, service["where"], f"open since {told['open_s']:.0f} s, {when}: {told['why']}"
    return name, service["where"], "ok" if service["ok"] else service.get("trouble", "away")


def _afterwards(told: dict[str, Any]) -> Iterator[str]:
    """What has gone wrong so far, if anything has."""
    refused = [worker["refused"] for worker in told["workers"] if worker["refused"]]
    no_room = {what: sum(each[what] for each in refused) for what in ("connections", "mails")}
    lines = [f"{count} {what} refused: no room" for what, count in no_room.items() if count]
    if told["restarts"]:
        lines.append(f"{told['restarts']} times a worker ended unasked: the log says how")
    lists = told.get("lists", ())
    lines += [f"list {e['name']} stays as it was: {e['trouble']}" for e in lists if e["trouble"]]
    if told["rollback"]:
        lines.append("a rollback serves, not the files: `millrace policy diff` tells what differs")
    if told.get("refused_reload"):
        lines.append(_refused(told["refused_reload"], told["revision"]))
    if waits := str(Pending.from_json(told)):
        lines.append(waits)
    if lines:
        yield ""
        yield from lines


def _refused(reload: dict[str, Any], revision: str) -> str:
    first, *more = reload["problems"]
    others = f" (and {len(more)} more: the log has all)" if more else ""
    what = first.partition("\n")[0]
    return f"the reload at {reload['at']} was refused, {revision} serves on: {what}{others}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield (_GAP + _GAP.join(cells)).rstrip()


def _size(octets: int) -> str:
    for unit in ("B", "KB", "MB"):
        if octets < 1024:
            return f"{octets} {unit}"
        octets //= 1024
    return f"{octets} GB"


def _time(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
