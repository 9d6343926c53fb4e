"""One filter's run, behind its wall.

Whatever a filter does, a finding comes out: its own, or the one that the operator
chose by `on_error`.  A filter that is past its time is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from millrace.engine.errors import Unavailable
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Listener
from millrace.engine.mail.trace import Run, RunState
from millrace.engine.mail.verdict import PASS, Because, Verdict, strictest
from millrace.engine.pipeline.eager import Begun
from millrace.engine.pipeline.plan import Node
from millrace.engine.policy.judge import Act, Term, marked
from millrace.engine.policy.rule import DEFAULT_REPLIES

_log = logging.getLogger("millrace.filters")


@dataclass(slots=True)
class Scope:
    """What is known of one visit, mail or recipient; a child sees what its parent knew."""

    values: dict[str, Any]
    findings: dict[str, Finding[Any]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    terms: list[Term] = field(default_factory=list)
    ruling: Verdict | None = None
    acts: tuple[Act, ...] = ()
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
            self.acts,
            self.advice,
            self.failure,
        )

    @property
    def verdict(self) -> Verdict:
        """A rule speaks before advice, marks are kept; a failure that counts beats them all."""
        spoken = self.ruling if self.ruling is not None else self.advice
        if self.acts:
            spoken = marked(spoken, self.acts)
        return strictest(spoken, self.failure)

    @property
    def facts(self) -> dict[str, Fact]:
        """What the filters measured."""
        values = self.values
        return {name: values[name] for name in self.findings if isinstance(values.get(name), Fact)}


class Waiting(NamedTuple):
    """A filter that has begun, and waits for the world; `limit` is its time in seconds."""

    node: Node
    scope: Scope
    begun: Begun[Any]
    limit: float
    began: float


def begin_node(node: Node, scope: Scope, ports: Mapping[str, Any], left: float) -> Waiting | None:
    """Run a filter, and put its finding into the scope; or say that it waits for something.

    `left` is what time the mail has, in seconds.
    """
    arguments = _arguments(node, scope, ports)
    if arguments is None:
        return None
    began = time.perf_counter()
    state: RunState = "ran"
    limit = min(node.timeout, left)
    try:
        if not node.contract.waits:
            found = _kept(node, node.filter.run(**arguments))
        elif limit <= 0:
            state, found = "timed-out", _too_late(node, limit)
        else:
            begun = Begun(node.filter.run(**arguments))
            if not begun.ended:
                return Waiting(node, scope, begun, limit, began)
            found = _kept(node, begun.value)
    except Exception as error:  # the wall around a filter: no mail stops the engine
        state, found = "failed", _failed(node, error)
    _conclude(node, scope, state, found, began)
    return None


async def finish_node(waiting: Waiting) -> None:
    """Wait for a filter that has begun, no longer than it may take."""
    node, scope, begun, limit, began = waiting
    state: RunState = "ran"
    try:
        async with asyncio.timeout(limit):
            found = _kept(node, await begun)
    except TimeoutError:
        state, found = "timed-out", _too_late(node, limit)
    except Exception as error:  # the same wall
        state, found = "failed", _failed(node, error)
    _conclude(node, scope, state, found, began)


def _too_late(node: Node, limit: float) -> Finding[Any]:
    return _trouble(node, f"gave no answer within {max(limit, 0):.3g} s")


def listeners(nodes: Iterable[Node], headers: Headers) -> dict[Hashable, Listener]:
    """Who wants to hear the body while it arrives; a filter that fails here reads it later."""
    found: dict[Hashable, Listener] = {}
    for node in nodes:
        try:
            found |= node.filter.listeners(headers) if node.contract.listens else {}
        except Exception:  # the same wall; the filter's run will fail by itself, and be noted
            _log.warning("%s cannot listen to the body", node.name, exc_info=True)
    return found


def _arguments(node: Node, scope: Scope, ports: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `run` is called with; None when the filter is skipped, which is noted."""
    values = scope.values
    if node.when is not None and not node.when.run(values):
        _skip(node, scope, "when is false")
        return None
    arguments: dict[str, Any] = {}
    for parameter, key, needed in node.givens:
        value = values.get(key)
        if value is None and needed:
            _skip(node, scope, f"there is no {parameter}")
            return None
        arguments[parameter] = value
    for parameter, keys in node.gathered:
        arguments[parameter] = tuple([values[key] for key in keys if key in values])
    for parameter, port in node.ports:
        arguments[parameter] = ports[port]
    return arguments


def _skip(node: Node, scope: Scope, note: str) -> None:
    scope.runs[node.name] = Run(node.name, node.label, "skipped", 0.0, note)


def _kept(node: Node, found: Any) -> Finding[Any]:  # noqa: ANN401 - whatever a filter returns
    """The finding, if it is what the signature promised; what reads the fact must not crash."""
    finding = found if isinstance(found, Finding) else Finding(found)
    promised = node.contract.gives or Fact
    if finding.fact is not None and not isinstance(finding.fact, promised):
        raise TypeError(f"run() gave {type(finding.fact).__name__}, not {promised.__name__}")
    return finding


def _conclude(
    node: Node, scope: Scope, state: RunState, finding: Finding[Any], began: float
) -> None:
    name = node.name
    ms = (time.perf_counter() - began) * 1000
    scope.runs[name] = Run(name, node.label, state, ms, finding.note)
    scope.findings[name] = finding
    if finding.fact is not None:
        scope.values[name] = finding.fact
    if finding.advice is not PASS:
        _advise(node, scope, finding, failed=state != "ran")


def _advise(node: Node, scope: Scope, finding: Finding[Any], *, failed: bool) -> None:
    advice = finding.advice
    if advice.because is None:
        because = Because(node.name, finding.note, node.label)
        advice = Verdict(advice.action, advice.reply, because)
    if failed:
        scope.failure = strictest(scope.failure, advice)
    else:
        scope.advice = strictest(scope.advice, advice)


def _failed(node: Node, error: Exception) -> Finding[Any]:
    words = str(error) if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
    return _trouble(node, words)


def _trouble(node: Node, note: str) -> Finding[Any]:
    action = node.on_error
    if action is None:
        return Finding(note=note)
    because = Because(node.name, f"{node.name} could not answer", node.label)
    return Finding(note=note, advice=Verdict(action, DEFAULT_REPLIES.get(action), because))
