"""A decision for people: the answer first, then what led to it."""

from __future__ import annotations

import datetime
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

ANSWERS = {
    "pass": "ACCEPTED",
    "tag": "ACCEPTED, marked",
    "quarantine": "HELD",
    "defer": "DEFERRED",
    "reject": "REFUSED",
    "discard": "DISCARDED",
}
_DONE = {"ran": "", "skipped": "skipped", "failed": "failed", "timed-out": "timed out"}


def tree(data: Mapping[str, Any]) -> Iterator[str]:
    """The lines that explain one record."""
    width = shutil.get_terminal_size((100, 24)).columns
    yield f"{ANSWERS[data['action']]}  {data['reply']}".rstrip()
    yield f"         {_decided(data)}"
    if then := data.get("then"):
        rule = f" by rule {then['rule']}" if then["rule"] else ""
        yield f"         when it comes again: {ANSWERS[then['action']].lower()}{rule}"
    yield from _acts(data)
    yield ""
    names = max((len(run["name"]) for run in data["filters"]), default=0) + 2
    for run in data["filters"]:
        yield from _filter(run, data["facts"].get(run["name"]), names, width)
    yield from _absent(data)
    yield ""
    yield from _score(data["score"])
    yield from _recipients(data["recipients"])
    yield from _edits(data["edits"], width)


def _decided(data: Mapping[str, Any]) -> str:
    because = data["because"]
    parts = [f"rule {because['rule']}" if because["rule"] else "no rule matched"]
    parts += [because["place"]] if because["place"] else []
    when = f"decided at {because['stage']} in " if because["stage"] else ""
    parts += [f"{when}{data['ms']:.1f} ms", f"revision {data['revision'][:7]}"]
    parts += [because["why"]] if because["why"] else []
    return " · ".join(parts)


def _acts(data: Mapping[str, Any]) -> Iterator[str]:
    """What rules did beside deciding, in their order."""
    if data["hold"]:
        yield f"         held: {data['hold']}"
    for act in data["acts"]:
        yield f"         {_act(act)}"


def _act(act: Mapping[str, Any]) -> str:
    done = ["marks it"] if act["action"] == "tag" else []
    done += [f"adds {header['name']}: {header['value']}" for header in act["headers"]]
    done += [f"sends it to {act['redirect']}"] if act["redirect"] else []
    why = f" · {act['why']}" if act["why"] else ""
    return f"rule {act['rule']} {', '.join(done) or 'matches'} · {act['place']}{why}"


def _absent(data: Mapping[str, Any]) -> Iterator[str]:
    """How conditions read what this mail lacks."""
    lacking = [
        run["name"]
        for run in data["filters"]
        if run["state"] in ("skipped", "failed", "timed-out") and run["name"] not in data["facts"]
    ]
    if lacking:
        reads = "false in a condition; equals nothing, is in nothing"
        yield f"\n  absent: {' '.join(lacking)}   ({reads})"


def _filter(
    run: Mapping[str, Any], fact: Mapping[str, Any] | None, names: int, width: int
) -> Iterator[str]:
    word, detail = _fact(fact or {}) if fact is not None else ("", "")
    if run["state"] == "not-reached":
        word, detail = "not run", "the walk ended before"
    elif run["state"] != "ran":
        word, detail = _DONE[run["state"]], run["note"]
    elif fact is None:
        word, detail = "ran", run["note"]
    head = f"  {run['name']:<{names}}{word:<10}"
    room = max(width - len(head), 30)
    lines = textwrap.wrap(detail, room) or [""]
    yield (head + lines[0]).rstrip()
    for line in lines[1:]:
        yield " " * len(head) + line


def _fact(fact: Mapping[str, Any]) -> tuple[str, str]:
    """The word of a fact, and the rest of it in one line."""
    for key in ("result", "state", "probability", "found"):
        if key in fact:
            value = fact[key]
            word = f"{value:.2f}" if isinstance(value, float) else str(value)
            rest = {name: each for name, each in fact.items() if name != key}
            return word, _rest(rest)
    return "yes", _rest(fact)


def _rest(fact: Mapping[str, Any]) -> str:
    if reason := fact.get("reason"):
        return str(reason)
    if "signatures" in fact:
        return "; ".join(_signature(each) for each in fact["signatures"]) or "no signature"
    if words := fact.get("words"):
        return ", ".join(words)
    if fact.get("left"):
        return f"again after {datetime.timedelta(seconds=round(fact['left']))}"
    told = [f"{name} {_shown(value)}" for name, value in fact.items() if value not in ("", None)]
    return ", ".join(told)


def _signature(each: Mapping[str, Any]) -> str:
    reason = f": {each['reason']}" if each["reason"] else ""
    return f"{each['domain']} ({each['selector']}, {each['algorithm']}) {each['result']}{reason}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_shown(each)}" for name, each in value.items()) + ")"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)


def _score(score: Mapping[str, Any]) -> Iterator[str]:
    terms = " ".join(f"{t['add']:+g} {t['name']}" for t in score["terms"])
    yield f"  score {score['total']:g}" + (f" = {terms}" if terms else "   (no weight applied)")
    for term in score["terms"]:
        if term["why"]:
            yield f"        {term['name']}: {term['why']}"


def _recipients(recipients: list[Mapping[str, Any]]) -> Iterator[str]:
    told = [each for each in recipients if each["reply"] or each["acts"]]
    if told:
        yield ""
    for each in told:
        yield f"  {each['address']}: {ANSWERS[each['action']].lower()}  {each['reply']}".rstrip()
        yield from (f"    {_act(act)}" for act in each["acts"])


def _edits(edits: list[Mapping[str, Any]], width: int) -> Iterator[str]:
    if edits:
        yield ""
    for edit in edits:
        what = " ".join(str(v) for k, v in edit.items() if k not in ("kind", "index"))
        flat = " ".join(what.split())
        yield textwrap.shorten(f"  {edit['kind']}: {flat}", width, placeholder=" …")
