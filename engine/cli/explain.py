"""`millrace explain`: what would happen to this mail, and why?"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from millrace.engine import history, plans, rehearsal
from millrace.engine.cli.options import read, with_settings
from millrace.engine.cli.tree import tree
from millrace.engine.errors import Misconfigured
from millrace.engine.rehearsal import Case, Theatre
from millrace.engine.settings import Settings

CHUNK = 50  # cases that one process takes at a time
LINE_MAX = 64 << 20


@click.command()
@click.argument("mail", required=False, type=click.Path(path_type=Path), metavar="[MAIL.eml]")
@click.option("--ip", default="", help="The peer's address.")
@click.option("--helo", help="The name that it gave itself.")
@click.option(
    "--from", "sender", default="", metavar="ADDR", help='The envelope sender; "" is null.'
)
@click.option("--to", "recipients", multiple=True, metavar="ADDR", help="A recipient; repeatable.")
@click.option("--login", default="", metavar="USER", help="Who is logged in.")
@click.option("--pipeline", default="", metavar="NAME", help="By default the first that is served.")
@click.option("--policy", default="", metavar="NAME", help="Instead of the pipeline's own.")
@click.option(
    "--revision", default="files", metavar="REV", help="Judge by this one, not by the files."
)
@click.option("--dns", type=click.Path(path_type=Path), metavar="ZONE", help="Answer from a file.")
@click.option("--now", metavar="TIME", help="The time, such as 2026-11-23T12:00:00Z.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--batch", type=click.Path(path_type=Path), metavar="CASES.jsonl", help="Many cases.")
@click.option("--jobs", type=click.IntRange(1), help="Processes for a batch; by default all cores.")
@click.option("--exit-verdict", is_flag=True, help="Exit with 1 when the mail is not taken.")
@with_settings
def explain(config: Path | None, overrides: tuple[str, ...], **given: Any) -> int:  # noqa: ANN401
    """Walk a mail through a pipeline and say what was found, what was decided, and why.

    \b
    Examples:
      millrace explain mail.eml --ip 192.0.2.7 --from a@b.example --to ann@example.net
      millrace explain mail.eml --revision 3f9c2a1 --now 2026-11-24T03:00:00Z
      millrace explain --batch cases.jsonl --json --jobs 4 > results.jsonl

    The files as they are decide, or a --revision of `millrace policy log` (the first letters
    will do), or `now`, what is in force; lists are those of today.

    Nothing is delivered, archived or remembered.  With --dns and --now the same mail gets
    the same answer again, and nothing leaves this machine.  A deferral does not end the
    walk, since the mail would come again: what awaits it then is shown, too.
    """
    settings = _settings(read(config, overrides), given["revision"])
    wanted = _Wanted(settings, _pipeline(settings, given["pipeline"]), given["policy"])
    if given["batch"] is not None:
        return _batch(wanted, given["batch"], given["jobs"], given["dns"])
    if given["mail"] is None:
        raise click.UsageError("name a mail, or --batch CASES.jsonl")
    try:
        case = Case(
            raw=rehearsal.mail_file(given["mail"]),
            ip=given["ip"],
            helo=given["helo"],
            sender=given["sender"],
            recipients=given["recipients"],
            login=given["login"],
            now=rehearsal.moment(given["now"]) if given["now"] else None,
            dns=given["dns"],
        )
        (data,) = asyncio.run(_rehearse(wanted, [case]))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(data) if given["as_json"] else "\n".join(tree(data)))
    taken = data["action"] in ("pass", "tag", "quarantine")
    return 1 if given["exit_verdict"] and not taken else 0


def _settings(settings: Settings, revision: str) -> Settings:
    """Those by which the wanted revision is read; who takes the files hears of a rollback."""
    if revision == "files" and (holding := history.holding(settings)):
        words = f"a rollback to {holding} serves, not these files: --revision now explains by it"
        click.echo(words, err=True)
    return history.as_of(settings, revision)


def _pipeline(settings: Settings, named: str) -> str:
    if named:
        return named
    return settings.listener[0].pipeline if settings.listener else "inbound"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a process needs to make its own plan."""

    settings: Settings
    pipeline: str
    policy: str


async def _rehearse(wanted: _Wanted, cases: Iterable[Case]) -> list[dict[str, Any]]:
    plan = plans.load_plan(wanted.settings, wanted.pipeline, wanted.policy)
    theatre = Theatre(wanted.settings, plan)
    try:
        return [{"id": case.id, **(await theatre.rehearse(case)).as_data()} for case in cases]
    finally:
        await theatre.close()


# --- many cases


def _batch(wanted: _Wanted, path: Path, jobs: int | None, dns: Path | None) -> int:
    """One result line for each case, in order; a case that went wrong is a line too."""
    plans.load_plan(wanted.settings, wanted.pipeline, wanted.policy)  # one error, not one a case
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from None
    lines = [line for line in lines if line.strip()]
    default = str(dns.resolve()) if dns is not None else None
    shared = any(b'"keep"' in line for line in lines)  # state goes from case to case
    jobs = 1 if shared else min(jobs or os.cpu_count() or 1, -(-len(lines) // CHUNK) or 1)
    for found in _in_processes(wanted, lines, path.parent, default, jobs):
        for result in found:
            click.echo(result)
    return 0


def _in_processes(
    wanted: _Wanted, lines: list[bytes], folder: Path, dns: str | None, jobs: int
) -> Iterator[list[bytes]]:
    if jobs == 1:
        yield _chunk(wanted, lines, folder, dns)
        return
    chunks = [lines[at : at + CHUNK] for at in range(0, len(lines), CHUNK)]
    repeat = itertools.repeat
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_chunk, repeat(wanted), chunks, repeat(folder), repeat(dns))


def _chunk(wanted: _Wanted, lines: list[bytes], folder: Path, dns: str | None) -> list[bytes]:
    return asyncio.run(_rehearse_lines(wanted, lines, folder, dns))


async def _rehearse_lines(
    wanted: _Wanted, lines: list[bytes], folder: Path, dns: str | None
) -> list[bytes]:
    plan = plans.load_plan(wanted.settings, wanted.pipeline, wanted.policy)
    theatre = Theatre(wanted.settings, plan)
    try:
        return [await _line(theatre, line, folder, dns) for line in lines]
    finally:
        await theatre.close()


async def _line(theatre: Theatre, line: bytes, folder: Path, dns: str | None) -> bytes:
    name: object = ""
    try:
        data = json.loads(line)
        if not isinstance(data, dict):
            raise ValueError("a case is a JSON object")
        name = data.get("id", "")
        if dns is not None and data.get("dns") is None:
            data["dns"] = dns
        found = (await theatre.rehearse(Case.read(data, folder))).as_data()
        return json.dumps({**found, "id": name}).encode()
    except (ValueError, TypeError, RecursionError, Misconfigured) as error:
        words = str(error).splitlines()
        return json.dumps({"id": name, "error": words[0] if words else repr(error)}).encode()
