"""Do the pipelines and policies fit together, and do they mean what they seem to?

Each pipeline is wired as a start would wire it, its policy's tests are run, and what can be
proved of it is proved.  A policy often serves several pipelines: what is unreachable or
unmeasured in one of them only is a note, since another one may need it.

Fails: never for the files' sake; what cannot be loaded is a finding.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from millrace.engine import plans, trials
from millrace.engine.document import Document, meant
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.pipeline.graph import vocabulary
from millrace.engine.pipeline.patience import strained
from millrace.engine.pipeline.plan import Plan
from millrace.engine.plans import Trial
from millrace.engine.policy.analysis import upkeep
from millrace.engine.policy.analysis.finding import Finding
from millrace.engine.policy.analysis.survey import survey
from millrace.engine.policy.expr import Expression
from millrace.engine.policy.rule import Rule, Weight
from millrace.engine.settings import Settings

_EVERYWHERE = ("no-filter",)  # said only where it is so in every pipeline of the policy
_FULLEST = ("beaten",)  # of several pipelines, the one that names most rules says it
_LIVELY = ("shadowed", "weight-unreached")  # an error only where it is so wherever it is live


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One pipeline: what it came to, and what was found in it alone.

    `own` is whether the policy is that which its file names.
    """

    plan: Plan
    own: bool
    trial: Trial | None
    found: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All pipelines that fit, and all findings, each once."""

    surveyed: tuple[Surveyed, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Those that must be mended."""
        return tuple(finding for finding in self.findings if finding.level == "error")


def check(
    settings: Settings,
    named: Iterable[str] = (),
    policy: str = "",
    today: datetime.date | None = None,
) -> Report:
    """Survey these pipelines, by default all; `policy` stands in for their own."""
    wanted = tuple(named) or tuple(pipelines(settings))
    today = today or datetime.datetime.now(datetime.UTC).date()
    every = dict.fromkeys([*wanted, *pipelines(settings)])
    surveyed: dict[str, Surveyed] = {}
    findings: list[Finding] = []
    for name in every:
        try:
            surveyed[name] = _surveyed(settings, name, policy, today)
        except Misconfigured as error:
            unfit = [Finding("unfit", "error", fault) for fault in error.faults]
            findings += unfit if name in wanted else []
    findings += [f for name in wanted if name in surveyed for f in _compared(surveyed, name)]
    if surveyed.keys() != every.keys():  # what a pipeline that does not fit gives is not known
        findings = [finding for finding in findings if finding.code not in _EVERYWHERE]
    if surveyed:  # a list that is no good fits into no pipeline, and is told there
        odd = plans.list_remarks(settings)
        findings += [Finding("list-odd", "note", fault) for fault in odd]
    used = dict.fromkeys(each.plan.policy.name for each in surveyed.values())
    findings += [found for name in used for found in _closed_doors(settings, name)]
    if not policy and surveyed.keys() == every.keys():
        findings += upkeep.unread(lists(settings), _read(surveyed.values()))
    shown = tuple(surveyed[name] for name in wanted if name in surveyed)
    return Report(shown, tuple(_once(findings)))


def pipelines(settings: Settings) -> list[str]:
    """The pipelines that are served, then all others."""
    served = [listener.pipeline for listener in settings.listener]
    return list(dict.fromkeys([*served, *plans.names(settings, "pipelines")]))


def lists(settings: Settings) -> Mapping[str, Place]:
    """The operator's lists, by name, with the file of each."""
    shelf = plans.list_shelf(settings)
    shelf.open()
    return {name: Place(str(each.path)) for name, each in shelf.lists.items()}


def _surveyed(settings: Settings, name: str, policy: str, today: datetime.date) -> Surveyed:
    spec = plans.load_spec(settings, name)
    plan = plans.load_plan(settings, name, policy)
    trial = trials.try_policy(settings, plan)
    document = plans.document(settings, "policies", plan.policy.name)
    changed = _changed(plans.overlays(settings, plan.policy.name).values())
    found = [*survey(plan.policy, document, vocabulary(plan.nodes), today, changed)]
    found += strained(spec, plan.nodes)
    red = plans.red_faults([trial] if trial else [])
    found += [Finding("red-test", "error", fault) for fault in red]
    return Surveyed(plan, spec.policy == plan.policy.name, trial, tuple(found))


def _closed_doors(settings: Settings, policy: str) -> Iterator[Finding]:
    """Listeners that overlays of a policy name, and that are none here."""
    doors = [listener.address for listener in settings.listener]
    for document in plans.overlays(settings, policy).values():
        for each in _doors_of(document):
            if each not in doors:
                sentence, hint = f"there is no listener '{each}'", meant(each, doors)
                fault = document.fault(("for", "listener"), sentence, hint)
                yield Finding("no-listener", "note", fault)


def _doors_of(overlay: Document) -> list[str]:
    tables = overlay.data["for"]
    tables = tables if isinstance(tables, list) else [tables]
    return [each for table in tables for each in _listed(table.get("listener", []))]


def _changed(overlays: Collection[Document]) -> set[str]:
    """The names of the rules that overlays replace or drop."""
    replaced = {rule["name"] for each in overlays for rule in each.data.get("rule", [])}
    dropped = {name for each in overlays for name in _listed(each.data.get("drop", []))}
    return replaced | dropped


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _compared(surveyed: Mapping[str, Surveyed], name: str) -> Iterator[Finding]:
    """The findings of one pipeline in the light of all that share its policy."""
    mine = surveyed[name]
    sharing = [s for s in surveyed.values() if s.plan.policy.name == mine.plan.policy.name]
    for finding in mine.found:
        if finding.code in _EVERYWHERE and not all(_has(s, finding) for s in sharing):
            continue
        needing = (s for s in sharing if s.own and _live(s.plan, finding.about))
        needed = [s for s in needing if not _has(s, finding)]
        if finding.code in _LIVELY and needed:
            yield _only_here(finding, name)
        else:
            yield finding


def _has(other: Surveyed, finding: Finding) -> bool:
    return any((f.code, f.about) == (finding.code, finding.about) for f in other.found)


def _live(plan: Plan, name: str) -> bool:
    entries: tuple[Rule | Weight, ...] = (*plan.policy.rules, *plan.policy.weights)
    return any(entry.live for entry in entries if entry.name == name)


def _only_here(finding: Finding, pipeline: str) -> Finding:
    fault = finding.fault
    hint = f"So it is in the pipeline {pipeline}; another one needs it.\n{fault.hint}"
    return replace(finding, level="note", fault=replace(fault, hint=hint))


def _read(surveyed: Iterable[Surveyed]) -> set[str]:
    """The lists that conditions and replies read, of rules, weights and filters."""
    texts: list[Expression | None] = []
    for each in surveyed:
        texts += [node.when for node in each.plan.nodes]
        texts += [e for w in each.plan.policy.weights for e in (w.add, w.when)]
        texts += [rule.when for rule in each.plan.policy.rules]
        texts += [p for r in each.plan.policy.rules for t in r.templates for p in t.parts]
    return {name for text in texts if text is not None for name in text.lists}


def _once(findings: list[Finding]) -> Iterator[Finding]:
    """Each fault once, errors first; what one pipeline says in full, another need not repeat."""
    fullest: dict[tuple[str, str], str] = {}
    for finding in findings:
        if finding.code in _FULLEST:
            key, sentence = (finding.code, finding.about), finding.fault.sentence
            fullest[key] = max(fullest.get(key, ""), sentence, key=len)
    seen: set[Fault] = set()
    for finding in sorted(findings, key=lambda f: f.level != "error"):
        fault = finding.fault
        full = fullest.get((finding.code, finding.about), fault.sentence)
        if fault not in seen and fault.sentence == full:
            seen.add(fault)
            yield finding
