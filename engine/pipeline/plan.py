"""A plan: nodes by stage, the policy, what the wire must bring, and a revision.

A plan is a value.  A reload makes another one; a mail ends on the plan that it began with.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Action
from millrace.engine.pipeline.contract import Contract
from millrace.engine.policy.expr import Expression
from millrace.engine.policy.rule import Policy, Rule, Weight


class Scope(Enum):
    """How long a fact lives: one connection, one mail, one recipient."""

    VISIT = "visit"
    MAIL = "mail"
    RECIPIENT = "recipient"


class Given(NamedTuple):
    """How one parameter of `run` is filled: from one key of the scope, "" for none."""

    parameter: str
    key: str
    needed: bool


class Gathered(NamedTuple):
    """A parameter that takes all facts of a kind, from these keys."""

    parameter: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A filter in its place.  `after` are those of its stage that must end before it.

    `ports` pairs a parameter with the port that fills it; `late` nodes see the edited mail.
    """

    name: str
    filter: Any
    contract: Contract
    stage: Stage
    scope: Scope
    after: frozenset[str]
    givens: tuple[Given, ...]
    gathered: tuple[Gathered, ...]
    ports: tuple[tuple[str, str], ...]
    when: Expression | None
    timeout: float
    on_error: Action | None
    late: bool = False
    label: str = ""  # the stage's name; an enum gives it ten times as slowly

    @property
    def answers(self) -> bool:
        """Whether somebody must wait for it, since it may refuse the mail."""
        return self.contract.advises or (self.on_error or Action.PASS) > Action.QUARANTINE

    @property
    def asked(self) -> frozenset[str]:
        """The names of facts and sources that it waits for."""
        keys = {given.key for given in self.givens if given.key}
        keys.update(*(each.keys for each in self.gathered))
        return frozenset(keys | (self.when.names if self.when else frozenset()))


@dataclass(frozen=True, slots=True)
class Step:
    """All that happens at one stage of one scope; `late` nodes run after the edits.

    `answers` says that this step may end the walk.
    """

    nodes: tuple[Node, ...] = ()
    late: tuple[Node, ...] = ()
    weights: tuple[Weight, ...] = ()
    rules: tuple[Rule, ...] = ()
    answers: bool = False

    @staticmethod
    def of(nodes: tuple[Node, ...], weights: tuple[Weight, ...], rules: tuple[Rule, ...]) -> Step:
        """A step over these nodes, in an order in which they may run."""
        early = tuple(node for node in nodes if not node.late)
        late = tuple(node for node in nodes if node.late)
        answers = any(rule.stop for rule in rules) or any(node.answers for node in nodes)
        return Step(early, late, weights, rules, answers)

    def __bool__(self) -> bool:
        return bool(self.nodes or self.late or self.weights or self.rules)


@dataclass(frozen=True, slots=True, eq=False)  # the same plan has the same `revision`
class Plan:
    """What serves.

    `nodes` are in the order of the file, in which edits apply; `steps` are indexed by stage,
    `recipient` is the step that each recipient goes through; `words` are the sources that
    anybody asks for.
    """

    name: str
    title: str
    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    recipient: Step
    policy: Policy
    deadline: float
    revision: str
    words: frozenset[str] = frozenset()

    def wants(self, word: str) -> bool:
        """Whether any filter or condition asks for that source."""
        return word in self.words
