"""A policy file: weights that make a score, rules of which the first match wins.

Loaded strictly: an unknown key, fact, field or value is an error with file:line:column.
What a rule names fixes the stage at which it is judged; a rule is judged once, as early
as can be.  A rule that names something of one recipient is judged for each recipient.

Fails: `load` raises `Misconfigured` with every fault of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from millrace.engine.document import Document, Path_, meant
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mail.address import Address
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import ACTIONS, Action
from millrace.engine.policy import templates
from millrace.engine.policy.expr import NO_LISTS, Expression
from millrace.engine.policy.keys import FILE_KEYS, RULE_KEYS, WEIGHT_KEYS
from millrace.engine.policy.kinds import NUMBER
from millrace.engine.policy.listing import Lists
from millrace.engine.policy.reader import Reader
from millrace.engine.policy.rule import DEFAULT_REPLIES as DEFAULT_REPLIES
from millrace.engine.policy.rule import Policy as Policy
from millrace.engine.policy.rule import Rule as Rule
from millrace.engine.policy.rule import Template as Template
from millrace.engine.policy.rule import Vocabulary as Vocabulary
from millrace.engine.policy.rule import Weight as Weight
from millrace.engine.policy.rule import Word as Word

_MILD = (Action.PASS, Action.TAG)


def load(document: Document, name: str, vocabulary: Vocabulary, lists: Lists = NO_LISTS) -> Policy:
    """Compile a policy against the names that its pipeline knows, and the named lists."""
    return _Loader(Reader(document, vocabulary, lists)).policy(name)


class _Loader:
    """Reads one document; collects every fault before it gives up."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.words = reader.words
        self.fault = reader.fault

    def policy(self, name: str) -> Policy:
        reader = self.reader
        data = reader.document.data
        reader.only((), data, FILE_KEYS)
        weights = reader.each("weight", self._weight)
        stages = [weight.stage for weight in weights if weight.live]
        self.words["score"] = Word(NUMBER, max(stages, default=Stage.CONNECT), given=bool(stages))
        rules = reader.each("rule", self._rule)
        self._unique("weight", weights)
        self._unique("rule", rules)
        title = reader.text((), data, "title")
        if reader.faults:
            raise Misconfigured(*reader.faults)
        return Policy(name, title, tuple(weights), tuple(rules))

    def _weight(self, path: Path_, table: dict[str, Any]) -> Weight | None:
        reader = self.reader
        reader.only(path, table, WEIGHT_KEYS)
        terms = reader.terms(path, table)
        if not reader.has(path, table, "name", "add"):
            return None
        add = reader.expression((*path, "add"), str(table["add"]), number=True)
        when = reader.expression((*path, "when"), table["when"]) if "when" in table else None
        if add is None or ("when" in table and when is None):
            return None
        texts = {"add": add} | ({"when": when} if when else {})
        stage, own = self._known(path, add.names | (when.names if when else frozenset()), texts)
        if own:
            sentence = "a weight cannot name what differs between recipients"
            self._point(path, texts, own, sentence, "The score is of the mail; write a rule.")
        live = not any(each.holds_never(self.absent) for each in texts.values())
        place = reader.document.place(path)
        return Weight(
            table["name"], when, add, terms.why, stage, place, live,
            terms.owner, terms.expires, terms.note, terms.ends,
        )  # fmt: skip

    def _rule(self, path: Path_, table: dict[str, Any]) -> Rule | None:
        reader = self.reader
        reader.only(path, table, RULE_KEYS)
        terms, stop = reader.terms(path, table), reader.truth(path, table, "stop", True)
        needed = ("name", "when", "then") if stop else ("name", "when")
        if not reader.has(path, table, *needed):
            return None
        when = reader.expression((*path, "when"), table["when"])
        action = self._action(path, table, stop=stop)
        reply = templates.reply(reader, path, table, action) if "reply" in table else None
        headers = templates.headers(reader, path, table)
        held, redirect = self._held(path, table, action), self._redirect(path, table, action)
        if when is None or action is None or headers is None:
            return None
        rule = Rule(
            name=table["name"], when=when, then=action, reply=reply, why=terms.why,
            stage=Stage.CONNECT, recipient=False, place=reader.document.place(path),
            live=not when.holds_never(self.absent), stop=stop, redirect=redirect,
            headers=headers, quarantine=held, owner=terms.owner, expires=terms.expires,
            note=terms.note, ends=terms.ends,
        )  # fmt: skip
        stage, own = self._known(path, rule.names, {"when": when})
        if own and stage <= Stage.RCPT and action in (Action.TAG, Action.QUARANTINE):
            sentence = f"'{action.word}' takes a whole mail, but the rule names one recipient's"
            hint = "Here stands pass, defer, reject or discard."
            self.fault((*path, "then"), f"{sentence} facts", hint)
        return replace(rule, stage=stage, recipient=own is not None)

    # --- what a rule does

    def _action(self, path: Path_, table: dict[str, Any], *, stop: bool) -> Action | None:
        if "then" not in table and not stop:
            if not {"add_header", "redirect"} & table.keys():
                sentence = "the rule does nothing: it neither decides, nor marks, nor adds"
                self.fault(path, sentence, 'Write then = "tag", or add_header = { … }.')
            return Action.PASS
        action = ACTIONS.get(str(table["then"]))
        if action is None:
            sentence = f"then can never be {table['then']!r}"
            self.fault((*path, "then"), sentence, meant(str(table["then"]), ACTIONS), 0)
        elif not stop and action not in _MILD:
            sentence = f"'{action.word}' ends the judging, but stop = false lets it go on"
            self.fault((*path, "stop"), sentence, 'Remove stop, or write then = "tag".')
        return action

    def _held(self, path: Path_, table: dict[str, Any], action: Action | None) -> Template | None:
        if "quarantine" not in table:
            return None
        text, path = self.reader.text(path, table, "quarantine"), (*path, "quarantine")
        if action not in (Action.QUARANTINE, None):
            hint = 'Write then = "quarantine", or remove the line.'
            self.fault(path, f"'{action.word}' holds no mail", hint)
        return templates.template(self.reader, path, text)

    def _redirect(
        self, path: Path_, table: dict[str, Any], action: Action | None
    ) -> Address | None:
        if "redirect" not in table:
            return None
        text, path = self.reader.text(path, table, "redirect"), (*path, "redirect")
        if action is not None and not action.takes:
            hint = "Remove the line, or let the mail pass, be tagged or held."
            self.fault(path, f"'{action.word}' takes no mail that could go elsewhere", hint)
        try:
            found = Address.parse(text)
        except ValueError as error:
            self.fault(path, str(error), 'Write redirect = "abuse@example.org".', 0)
            return None
        if found is None or not found.domain or "{" in text:
            self.fault(path, f"{text!r} is no address", 'Write "abuse@example.org".', 0)
        return found

    # --- when it is judged

    @property
    def absent(self) -> frozenset[str]:
        """What no mail of this pipeline ever has."""
        return frozenset(name for name, word in self.words.items() if not word.given)

    def _known(
        self, path: Path_, names: frozenset[str], texts: Mapping[str, Expression]
    ) -> tuple[Stage, str | None]:
        """When all that is named is known, and what of it differs between recipients."""
        words = {name: self.words[name] for name in sorted(names) if self.words[name].given}
        stage = max((word.stage for word in words.values()), default=Stage.CONNECT)
        late = [name for name in sorted(names) if self.words[name].stage == Stage.SETTLED]
        if late:
            sentence = f"names '{late[0]}', which is measured after judgement"
            self._point(path, texts, late[0], sentence, "A policy cannot ask for it.")
        own = next((name for name, word in words.items() if word.recipient), None)
        if own and stage > Stage.RCPT:
            other = next(name for name, word in words.items() if word.stage > Stage.RCPT)
            sentence = (
                f"'{own}' is known for one recipient, '{other}' only for the whole mail later"
            )
            self._point(path, texts, other, sentence, "Split the rule in two.")
        return stage, own

    def _point(
        self, path: Path_, texts: Mapping[str, Expression], name: str, sentence: str, hint: str
    ) -> None:
        """A fault at the first place of a name, or at the table where another text names it."""
        for key, text in texts.items():
            if name in text.where:
                self.fault((*path, key), sentence, hint, text.where[name], len(name))
                return
        self.fault(path, sentence, hint)

    def _unique(self, key: str, entries: list[Weight] | list[Rule]) -> None:
        seen: dict[str, Place] = {}
        for entry in entries:
            if entry.name in seen:
                sentence = f'two {key}s are called "{entry.name}"'
                line = seen[entry.name].line
                hint = f"The other stands in line {line}; give one of them another name."
                self.reader.faults.append(Fault(sentence, hint, entry.place))
            seen.setdefault(entry.name, entry.place)
