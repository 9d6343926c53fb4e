"""A plan: nodes by stage, the policy, what the wire must bring, and a revision.

A plan is a value.  A reload makes another one; a mail ends on the plan that it began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Action
from millrace.engine.pipeline.contract import Contract
from millrace.engine.policy.expr import Expression
from millrace.engine.policy.rules import Policy, Rule, Weight


class Scope(Enum):
    """How long a fact lives: one connection, one mail, one recipient."""

    VISIT = "visit"
    MAIL = "mail"
    RECIPIENT = "recipient"


@dataclass(frozen=True, slots=True)
class Given:
    """How one parameter of `run` is filled: from one key of the scope, or from several."""

    parameter: str
    keys: tuple[str, ...]
    needed: bool
    many: bool


@dataclass(frozen=True, slots=True)
class Node:
    """A filter in its place.  `after` are those of its stage that must end before it."""

    name: str
    filter: Any
    contract: Contract
    stage: Stage
    scope: Scope
    after: frozenset[str]
    givens: tuple[Given, ...]
    ports: tuple[tuple[str, str], ...]
    when: Expression | None
    timeout: float
    on_error: Action | None
    late: bool = False

    @property
    def answers(self) -> bool:
        """Whether somebody must wait for it, since it may refuse the mail."""
        return self.contract.advises or (self.on_error or Action.PASS) > Action.QUARANTINE


@dataclass(frozen=True, slots=True)
class Step:
    """All that happens at one stage of one scope."""

    nodes: tuple[Node, ...] = ()
    weights: tuple[Weight, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def answers(self) -> bool:
        """Whether this step may end the walk."""
        return bool(self.rules) or any(node.answers for node in self.nodes)

    def __bool__(self) -> bool:
        return bool(self.nodes or self.weights or self.rules)


NOTHING = Step()


@dataclass(frozen=True, slots=True)
class Plan:
    """What serves.

    `nodes` are in the order of the file, in which edits apply; `steps` are keyed by stage and
    whether they are a recipient's, their nodes in an order in which they may run; `words`
    are the sources that anybody asks for.
    """

    name: str
    title: str
    nodes: tuple[Node, ...]
    steps: Mapping[tuple[Stage, bool], Step]
    policy: Policy
    deadline: float
    revision: str
    words: frozenset[str] = frozenset()

    def step(self, stage: Stage, *, recipient: bool = False) -> Step:
        """What happens then; an empty step where nothing does."""
        return self.steps.get((stage, recipient), NOTHING)

    def wants(self, word: str) -> bool:
        """Whether any filter or condition asks for that source."""
        return word in self.words
