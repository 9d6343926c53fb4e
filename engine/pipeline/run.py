"""One filter's run, behind its wall.

Whatever a filter does, a finding comes out: its own, or the one that the operator
chose by `on_error`.  A filter that is past its time is cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from millrace.engine.errors import Unavailable
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.trace import Run, RunState
from millrace.engine.mail.verdict import PASS, Because, Verdict, strictest
from millrace.engine.pipeline.plan import Given, Node
from millrace.engine.policy.judge import Term
from millrace.engine.policy.rules import DEFAULT_REPLIES

_MISSING = object()


@dataclass(slots=True)
class Scope:
    """What is known of one visit, mail or recipient; a child sees what its parent knew."""

    values: dict[str, Any]
    findings: dict[str, Finding[Any]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    terms: list[Term] = field(default_factory=list)
    ruling: Verdict | None = None
    advice: Verdict = PASS
    failure: Verdict = PASS

    def child(self) -> Scope:
        """A scope inside this one: it sees all, and what it learns stays in it."""
        return Scope(
            self.values.copy(),
            self.findings.copy(),
            self.runs.copy(),
            self.terms.copy(),
            self.ruling,
            self.advice,
            self.failure,
        )

    @property
    def verdict(self) -> Verdict:
        """A rule speaks before advice; a failure that must not be passed over beats both."""
        spoken = self.ruling if self.ruling is not None else self.advice
        return strictest(spoken, self.failure)

    @property
    def facts(self) -> dict[str, Fact]:
        """What the filters measured."""
        values = self.values
        return {name: values[name] for name in self.findings if isinstance(values.get(name), Fact)}


async def run_node(node: Node, scope: Scope, ports: Mapping[str, Any], limit: float) -> None:
    """Run one filter and put its finding into the scope; `limit` is what time is left."""
    values = scope.values
    if node.when is not None and not node.when.run(values):
        scope.runs[node.name] = Run(node.name, node.stage.name, "skipped", 0.0, "when is false")
        return
    arguments: dict[str, Any] = {}
    for given in node.givens:
        value = _value(given, values)
        if value is _MISSING:
            note = f"there is no {given.parameter}"
            scope.runs[node.name] = Run(node.name, node.stage.name, "skipped", 0.0, note)
            return
        arguments[given.parameter] = value
    for parameter, port in node.ports:
        arguments[parameter] = ports[port]
    began = time.perf_counter()
    state, finding = await _finding(node, arguments, min(node.timeout, limit))
    ms = (time.perf_counter() - began) * 1000
    scope.runs[node.name] = Run(node.name, node.stage.name, state, ms, finding.note)
    _note(node, scope, finding, failed=state != "ran")


def _value(given: Given, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if given.many:
        return tuple(values[key] for key in given.keys if key in values)
    for key in given.keys:
        value = values.get(key)
        if value is not None:
            return value
    return _MISSING if given.needed else None


def _note(node: Node, scope: Scope, finding: Finding[Any], *, failed: bool) -> None:
    scope.findings[node.name] = finding
    if finding.fact is not None:
        scope.values[node.name] = finding.fact
    advice = finding.advice
    if advice is PASS:
        return
    if advice.because is None:
        because = Because(node.name, finding.note, node.stage.name)
        advice = Verdict(advice.action, advice.reply, because)
    if failed:
        scope.failure = strictest(scope.failure, advice)
    else:
        scope.advice = strictest(scope.advice, advice)


async def _finding(
    node: Node, arguments: dict[str, Any], limit: float
) -> tuple[RunState, Finding[Any]]:
    try:
        if node.contract.waits:
            if limit <= 0:
                raise TimeoutError
            async with asyncio.timeout(limit):
                found = await node.filter.run(**arguments)
        else:
            found = node.filter.run(**arguments)
    except TimeoutError:
        return "timed-out", _trouble(node, f"gave no answer within {limit:.3g} s")
    except Unavailable as error:
        return "failed", _trouble(node, str(error))
    except Exception as error:  # the wall around a filter: no mail stops the engine
        return "failed", _trouble(node, f"{type(error).__name__}: {error}")
    return "ran", found if isinstance(found, Finding) else Finding(found)


def _trouble(node: Node, note: str) -> Finding[Any]:
    action = node.on_error
    if action is None:
        return Finding(note=note)
    because = Because(node.name, f"{node.name} could not answer", node.stage.name)
    return Finding(note=note, advice=Verdict(action, DEFAULT_REPLIES.get(action), because))
