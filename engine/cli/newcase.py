"""A case written from a mail: its envelope, time and DNS, and what came of it.

The mail and its DNS are put beside the tests, under `mails/`; the case is added to the end
of the policy's tests, for a human to read and mend.

Fails: click.ClickException where a file cannot be written or the policy is a shipped one.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from millrace.engine import plans, rehearsal
from millrace.engine.mail.verdict import Because
from millrace.engine.net.recording import RecordingDns
from millrace.engine.net.zone import ZoneDns
from millrace.engine.rehearsal import Case, Rehearsed, Theatre
from millrace.engine.services import Services
from millrace.engine.settings import Settings

_HEAD = "# Tests of the policy {policy}.  `millrace test` runs these, and so does every reload.\n"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the case shall be made of; `dns` None asks the real DNS."""

    settings: Settings
    pipeline: str
    policy: str
    mail: Path
    case: Case
    dns: Path | None
    name: str


def write(wish: Wish) -> list[str]:
    """Rehearse the mail, write the case, and say what was written."""
    plan = plans.load_plan(wish.settings, wish.pipeline, wish.policy)
    tests = plans.tests_of(wish.settings, plan.policy.name)
    if tests.parent == plans.shelf_folder("policies"):
        words = f"the policy {plan.policy.name} is one that ships with us: copy it first"
        folder = plans.folders(wish.settings, "policies")[0]
        raise click.ClickException(f"{words}, to {folder / plan.policy.name}.toml")
    found, zone = asyncio.run(_rehearsed(wish))
    stem = _free(tests.parent / "mails", re.sub(r"[^\w.-]+", "-", wish.mail.stem) or "mail")
    mail, table = tests.parent / f"mails/{stem}.eml", tests.parent / f"mails/{stem}.json"
    case = _case(wish, plan.name, found, stem)
    try:
        mail.parent.mkdir(exist_ok=True)
        mail.write_bytes(wish.mail.read_bytes())
        table.write_text(json.dumps(zone, indent=1) + "\n", "utf-8")
        before = (
            tests.read_text("utf-8") if tests.exists() else _HEAD.format(policy=plan.policy.name)
        )
        tests.write_text(before.rstrip("\n") + "\n\n" + case, "utf-8")
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    return [
        f"written  {mail}",
        f"written  {table}   {len(zone)} names",
        f"added    {tests}",
        "",
        case.rstrip(),
        "",
        "Is that what this mail shall get? If not, mend `expect`, then the policy:   millrace test",
    ]


async def _rehearsed(wish: Wish) -> tuple[Rehearsed, dict[str, Any]]:
    plan = plans.load_plan(wish.settings, wish.pipeline, wish.policy)
    live = Services(wish.settings)
    inner = ZoneDns.load(wish.dns) if wish.dns is not None else live.resolver()
    recording = RecordingDns(inner)
    theatre = Theatre(wish.settings, plan, recording)
    try:
        return await theatre.rehearse(wish.case), recording.zone()
    finally:
        await theatre.close()
        await recording.close()


def _free(folder: Path, stem: str) -> str:
    taken = {path.stem for path in folder.glob("*")} if folder.is_dir() else set()
    return next(n for n in [stem, *(f"{stem}-{i}" for i in range(2, 10000))] if n not in taken)


def _case(wish: Wish, pipeline: str, found: Rehearsed, stem: str) -> str:
    verdict, case = found.verdict, wish.case
    rule = (verdict.because or Because("")).rule
    score = found.decision.total
    by = f" by {rule}" if rule else ""
    moment = datetime.datetime.fromtimestamp(case.now or 0, datetime.UTC)
    lines = {
        "name": _quoted(wish.name or f"{stem}: {verdict.action.word}{by}"),
        "pipeline": _quoted(pipeline),
        "mail": _quoted(f"mails/{stem}.eml"),
        "dns": _quoted(f"mails/{stem}.json"),
        "ip": _quoted(case.ip) if case.ip else "",
        "helo": _quoted(case.helo) if case.helo is not None else "",
        "from": _quoted(case.sender),
        "to": "[" + ", ".join(map(_quoted, case.recipients)) + "]" if case.recipients else "",
        "login": _quoted(case.login) if case.login else "",
        "scanner": _quoted(case.scanner) if case.scanner else "",
        "now": moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "expect": _quoted(verdict.action.word),
        "rule": _quoted(rule) if any(r == rule for r in _names(wish)) else "",
        "score": f"{score:g}" if score else "",
    }
    shown = [f"{key:<8} = {value}" for key, value in lines.items() if value]
    return "\n".join(["[[case]]", *shown]) + "\n"


def _names(wish: Wish) -> list[str]:
    plan = plans.load_plan(wish.settings, wish.pipeline, wish.policy)
    return [rule.name for rule in plan.policy.rules]


def _quoted(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def visit(mail: Path, given: dict[str, Any]) -> Case:
    """The case of these options; without a time it is now, to the second."""
    now = rehearsal.moment(given["now"]) if given["now"] else None
    if now is None:
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0).timestamp()
    return Case(
        raw=rehearsal.mail_file(mail),
        ip=given["ip"],
        helo=given["helo"],
        sender=given["sender"],
        recipients=given["recipients"],
        login=given["login"],
        now=now,
        scanner=given["scanner"],
    )
