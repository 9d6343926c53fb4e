"""Rules, weights, and the policy that they make, as compiled values."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from millrace.engine.errors import Place
from millrace.engine.mail.address import Address
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Action, Reply
from millrace.engine.policy.closures import Values
from millrace.engine.policy.expr import Expression
from millrace.engine.policy.kinds import Kind

Fits = Callable[[Values, float], bool]
DAY_S = 86_400.0
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
SHOWN_MAX = 120  # characters of one placeholder's value
DEFAULT_REPLIES = {
    Action.DEFER: Reply(451, "4.7.1", "Please try again later"),
    Action.REJECT: Reply(550, "5.7.1", "Refused by the receiver's policy"),
}


@dataclass(frozen=True, slots=True)
class Word:
    """A name that conditions may use: its type, and when it is known.

    `given` is False for a fact that the shelf knows but this pipeline does not measure.
    """

    kind: Kind
    stage: Stage
    recipient: bool = False
    given: bool = True


Vocabulary = Mapping[str, Word]


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders such as `{from.domain}`."""

    text: str
    parts: tuple[Expression, ...]

    def fill(self, values: Values) -> str:
        """The text with the values in it, cleaned of what could break a line."""
        return self._filled(self.text, values)

    def fill_reply(self, values: Values) -> Reply:
        """The same for an answer, whose codes are the operator's: a value cannot become one."""
        written = Reply.parse(self.text)
        return replace(written, text=self._filled(written.text, values))

    def _filled(self, text: str, values: Values) -> str:
        found = iter(self.parts)
        return PLACEHOLDER.sub(lambda _: _shown(next(found).run(values)), text)

    def fill_ascii(self, values: Values) -> str:
        """The same for a header field: letters beyond ASCII become question marks."""
        return self.fill(values).encode("ascii", "replace").decode()


@dataclass(frozen=True, slots=True)
class Terms:
    """Who answers for a rule or weight, until when it counts, and what is to be known of it."""

    why: str = ""
    owner: str = ""
    expires: datetime.date | None = None
    note: str = ""

    @property
    def ends(self) -> float:
        """Unix seconds of its end: the end of its last day in UTC."""
        if self.expires is None:
            return math.inf
        last = datetime.datetime.combine(self.expires, datetime.time(), datetime.UTC)
        return last.timestamp() + DAY_S  # a sum of dates would fail for the last of all days


@dataclass(frozen=True, slots=True)
class Weight:
    """One term of the score; not `live` when the pipeline measures nothing of what it needs.

    `ends` is when it no longer counts, in Unix seconds.
    """

    name: str
    when: Expression | None
    add: Expression
    why: str
    stage: Stage
    place: Place
    live: bool = True
    owner: str = ""
    expires: datetime.date | None = None
    note: str = ""
    ends: float = math.inf

    @property
    def names(self) -> frozenset[str]:
        """Every fact and source that it reads."""
        return self.add.names | (self.when.names if self.when else frozenset())


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `recipient` when it is judged for each recipient.

    Not `live` when it can never match, since the pipeline does not measure what it needs.
    Judging goes on after a rule that does not `stop`; from `ends` on (Unix seconds) a rule
    is silent.  `headers` are names and values of fields that it adds.  `fits` says whether
    this version is the mail's, at a time, where overlays have others.
    """

    name: str
    when: Expression
    then: Action
    reply: Template | None
    why: str
    stage: Stage
    recipient: bool
    place: Place
    live: bool = True
    stop: bool = True
    redirect: Address | None = None
    headers: tuple[tuple[str, Template], ...] = ()
    quarantine: Template | None = None
    owner: str = ""
    expires: datetime.date | None = None
    note: str = ""
    ends: float = math.inf
    fits: Fits | None = None

    def counts(self, values: Values, now: float) -> bool:
        """Whether it has its word on such a mail at a time, should it hold."""
        return self.ends > now and (self.fits is None or self.fits(values, now))

    @property
    def acts(self) -> bool:
        """Whether it does more than decide."""
        return not self.stop or bool(self.headers) or self.redirect is not None

    @property
    def templates(self) -> tuple[Template, ...]:
        """Its texts with placeholders."""
        written = (self.reply, self.quarantine, *(value for _, value in self.headers))
        return tuple(each for each in written if each is not None)

    @property
    def names(self) -> frozenset[str]:
        """Every fact and source that it reads."""
        return self.when.names.union(*(p.names for t in self.templates for p in t.parts))


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole file, rules in their order, and grouped by the stage of their judgement."""

    name: str
    title: str
    weights: tuple[Weight, ...]
    rules: tuple[Rule, ...]

    def rules_at(self, stage: Stage, *, recipient: bool = False) -> tuple[Rule, ...]:
        """The rules that are judged then, in the order of the file."""
        here = (r for r in self.rules if r.stage == stage and r.recipient == recipient)
        return tuple(rule for rule in here if rule.live)

    def weights_at(self, stage: Stage) -> tuple[Weight, ...]:
        """The weights that are added then."""
        return tuple(w for w in self.weights if w.stage == stage and w.live)


def _shown(value: object) -> str:
    if value is None:
        return "unknown"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "".join(ch if ch.isprintable() else "?" for ch in text)[:SHOWN_MAX]
