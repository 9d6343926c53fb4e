"""A policy file: weights that make a score, rules of which the first match wins.

Loaded strictly: an unknown key, fact, field or value is an error with file:line:column.
What a rule names fixes the stage at which it is judged; a rule is judged once, as early
as can be.  A rule that names something of one recipient is judged for each recipient.

Fails: `load` raises `Misconfigured` with every fault of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from millrace.engine.document import Document, Path_, meant
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import ACTIONS, Action, Reply
from millrace.engine.policy.closures import Values
from millrace.engine.policy.expr import (
    NO_LISTS,
    Expression,
    Misfit,
    compile_condition,
    compile_text,
)
from millrace.engine.policy.kinds import NUMBER, Kind
from millrace.engine.policy.listing import Lists

T = TypeVar("T")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
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
    """A reply with placeholders such as `{from.domain}`."""

    text: str
    parts: tuple[Expression, ...]

    def fill(self, values: Values) -> str:
        """The text with the values in it, cleaned of what could break a line."""
        found = iter(self.parts)
        return _PLACEHOLDER.sub(lambda _: _shown(next(found).run(values)), self.text)


@dataclass(frozen=True, slots=True)
class Weight:
    """One term of the score; not `live` when the pipeline measures nothing of what it needs."""

    name: str
    when: Expression | None
    add: Expression
    why: str
    stage: Stage
    place: Place
    live: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `recipient` when it is judged for each recipient.

    Not `live` when it can never match, since the pipeline does not measure what it needs.
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


def load(document: Document, name: str, vocabulary: Vocabulary, lists: Lists = NO_LISTS) -> Policy:
    """Compile a policy against the names that its pipeline knows, and the named lists."""
    return _Loader(document, vocabulary, lists).policy(name)


class _Loader:
    """Reads one document; collects every fault before it gives up."""

    def __init__(self, document: Document, vocabulary: Vocabulary, lists: Lists) -> None:
        self.document, self.lists = document, lists
        self.words = dict(vocabulary)
        self.faults: list[Fault] = []

    def policy(self, name: str) -> Policy:
        data = self.document.data
        self._only((), data, ("title", "weight", "rule"))
        weights = self._each("weight", self._weight)
        stages = [weight.stage for weight in weights if weight.live]
        self.words["score"] = Word(NUMBER, max(stages, default=Stage.CONNECT), given=bool(stages))
        rules = self._each("rule", self._rule)
        self._unique("weight", weights)
        self._unique("rule", rules)
        title = self._text((), data, "title")
        if self.faults:
            raise Misconfigured(*self.faults)
        return Policy(name, title, tuple(weights), tuple(rules))

    def _each(self, key: str, read: Callable[[Path_, dict[str, Any]], T | None]) -> list[T]:
        tables = self.document.data.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            self._fault((key,), f"'{key}' is written [[{key}]]")
            return []
        found = [read((key, at), table) for at, table in enumerate(tables)]
        return [entry for entry in found if entry is not None]

    def _weight(self, path: Path_, table: dict[str, Any]) -> Weight | None:
        self._only(path, table, ("name", "when", "add", "why"))
        if not self._has(path, table, "name", "add"):
            return None
        add = self._expression((*path, "add"), str(table["add"]), number=True)
        when = self._expression((*path, "when"), table["when"]) if "when" in table else None
        if add is None or ("when" in table and when is None):
            return None
        names = add.names | (when.names if when else frozenset())
        stage, recipient = self._known(path, names)
        if recipient:
            sentence = "a weight cannot name what differs between recipients"
            self._fault(path, sentence, "The score is of the mail; write a rule.")
        why = self._text(path, table, "why")
        live = not (when is not None and when.holds_never(self.absent))
        live = live and not add.holds_never(self.absent)
        return Weight(table["name"], when, add, why, stage, self.document.place(path), live)

    def _rule(self, path: Path_, table: dict[str, Any]) -> Rule | None:
        self._only(path, table, ("name", "when", "then", "reply", "why"))
        if not self._has(path, table, "name", "when", "then"):
            return None
        when = self._expression((*path, "when"), table["when"])
        action = ACTIONS.get(str(table["then"]))
        if action is None:
            sentence = f"then can never be {table['then']!r}"
            self._fault((*path, "then"), sentence, meant(str(table["then"]), ACTIONS), 0)
        reply = self._reply(path, table, action) if "reply" in table else None
        if when is None or action is None:
            return None
        names = when.names.union(*(p.names for p in reply.parts) if reply else ())
        stage, recipient = self._known(path, names)
        if recipient and action in (Action.TAG, Action.QUARANTINE):
            sentence = (
                f"'{action.word}' takes a whole mail, but the rule names one recipient's facts"
            )
            self._fault((*path, "then"), sentence, "Here stands pass, defer, reject or discard.")
        why, place = self._text(path, table, "why"), self.document.place(path)
        live = not when.holds_never(self.absent)
        return Rule(table["name"], when, action, reply, why, stage, recipient, place, live)

    def _reply(self, path: Path_, table: dict[str, Any], action: Action | None) -> Template | None:
        text, path = self._text(path, table, "reply"), (*path, "reply")
        try:
            reply = Reply.parse(text)
        except ValueError as error:
            self._fault(path, str(error), offset=0)
            return None
        digit = {Action.DEFER: 4, Action.REJECT: 5}.get(action or Action.PASS)
        if digit is None and action is not None:
            self._fault(path, f"'{action.word}' gives no reply", "Remove the line.")
        elif digit and reply.code // 100 != digit:
            self._fault(path, f"a reply of '{table['then']}' begins with {digit}", offset=0)
        parts = []
        for found in _PLACEHOLDER.finditer(text):
            part = self._expression(path, found[1], shift=found.start(1), condition=False)
            if part is None:
                return None
            if part.kind.word in ("record", "list"):
                what = "a whole fact" if part.kind.word == "record" else "a list"
                self._fault(path, f"is {what}, not a text", "", found.start(1), len(found[1]))
            parts.append(part)
        return Template(text, tuple(parts))

    def _expression(
        self,
        path: Path_,
        text: object,
        *,
        number: bool = False,
        condition: bool = True,
        shift: int = 0,
    ) -> Expression | None:
        if not isinstance(text, str):
            self._fault(path, "is a text in quotes that holds a condition", offset=0)
            return None
        try:
            names = {name: word.kind for name, word in self.words.items()}
            compiles = compile_condition if condition and not number else compile_text
            found = compiles(text, names, self.lists)
            if number and found.kind.word != "number":
                raise Misfit(f"add wants a number, this is {found.kind.word}", "", 0, len(text))
        except Misfit as misfit:
            self._fault(path, misfit.sentence, misfit.hint, misfit.offset + shift, misfit.width)
            return None
        return found

    @property
    def absent(self) -> frozenset[str]:
        """What no mail of this pipeline ever has."""
        return frozenset(name for name, word in self.words.items() if not word.given)

    def _known(self, path: Path_, names: frozenset[str]) -> tuple[Stage, bool]:
        """When all that is named is known, and whether it differs between recipients."""
        words = {name: self.words[name] for name in names if self.words[name].given}
        stage = max((word.stage for word in words.values()), default=Stage.CONNECT)
        late = [name for name, word in words.items() if word.stage == Stage.SETTLED]
        if late:
            self._fault(path, f"names '{late[0]}', which is measured after judgement")
        recipient = any(word.recipient for word in words.values())
        if recipient and stage > Stage.RCPT:
            own = next(name for name, word in words.items() if word.recipient)
            other = next(name for name, word in words.items() if word.stage > Stage.RCPT)
            sentence = (
                f"'{own}' is known for one recipient, '{other}' only for the whole mail later"
            )
            self._fault(path, sentence, "Split the rule in two.")
        return stage, recipient

    def _only(self, path: Path_, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self._fault((*path, key), f"unknown key '{key}'", meant(key, known))

    def _has(self, path: Path_, table: Mapping[str, Any], *keys: str) -> bool:
        missing = [key for key in keys if not (table.get(key) or table.get(key) == 0)]
        for key in missing:
            self._fault(path, f"'{key}' is missing here")
        if "name" not in missing and not isinstance(table["name"], str):
            self._fault((*path, "name"), "name is a text in quotes", offset=0)
            return False
        return not missing

    def _text(self, path: Path_, table: Mapping[str, Any], key: str) -> str:
        value = table.get(key, "")
        if isinstance(value, str):
            return value
        self._fault((*path, key), f"{key} is a text in quotes", offset=0)
        return ""

    def _unique(self, key: str, entries: list[Weight] | list[Rule]) -> None:
        seen: dict[str, Place] = {}
        for entry in entries:
            if entry.name in seen:
                sentence = f'two of {key} are called "{entry.name}"'
                hint = f"The other stands in line {seen[entry.name].line}."
                self.faults.append(Fault(sentence, hint, entry.place))
            seen[entry.name] = entry.place

    def _fault(
        self, path: Path_, sentence: str, hint: str = "", offset: int | None = None, width: int = 1
    ) -> None:
        self.faults.append(self.document.fault(path, sentence, hint, offset=offset, width=width))


def _shown(value: object) -> str:
    if value is None:
        return "unknown"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "".join(ch if ch.isprintable() else "?" for ch in text)[:120]
