"""Which of the rules before one can take mail from it, found without a search.

A rule leaves mail over when one thing that it asks is denied by the other rule, or is asked
by nobody else and so may be absent.  Nearly all pairs of a long policy end here; what is
left is for `proof`.  To drop a rule costs no truth: less is proved, never more.

Fails: never.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from millrace.engine.policy.analysis.formula import All, Atom, Formula, OneOf, Reader, denied, plain
from millrace.engine.policy.analysis.literal import Among, Value, possible
from millrace.engine.policy.analysis.proof import Known, fixed, refuted, together
from millrace.engine.policy.rule import Rule

CASES_MAX = 16  # alternatives of one rule that are looked at one by one


@dataclass(frozen=True, slots=True)
class Case:
    """One of the ways in which a rule can hold.

    `known` is what is so then, `listed` the words of which a subject must be one, `there`
    are the subjects that must be there; `whole` when `known` is all that is said.
    """

    known: Known
    listed: Mapping[str, frozenset[Value]]
    there: frozenset[str]
    whole: bool

    @staticmethod
    def of(formula: Formula) -> Case:
        """Read one way, of those that can be."""
        there = _named(atom for atom in _atoms(formula) if atom.sign)
        whole = all(isinstance(part, Atom) for part in _joined(formula))
        return Case(fixed(formula), dict(_listed(formula)), there, whole)

    def fits(self, other: Case) -> bool:
        """Whether one mail can be both, as far as is known."""
        ours, theirs = self.known, other.known
        return all(possible(ours[s][0], ours[s][1] + theirs[s][1]) for s in ours.keys() & theirs)


@dataclass(frozen=True, slots=True)
class Read:
    """One rule with its logic.

    `cases` are the ways in which it can hold, none where it never can.  `clauses` are what
    must be so for it not to hold, each as ways of which one suffices; where one of `asked` is
    absent it does not hold; `spared` are those that must be there for it not to hold.
    """

    at: int
    rule: Rule
    formula: Formula
    opposite: Formula
    cases: tuple[Case, ...]
    listed: Mapping[str, frozenset[Value]]
    clauses: tuple[tuple[tuple[Atom, ...], ...], ...]
    asked: frozenset[str]
    spared: frozenset[str]

    @staticmethod
    def of(at: int, rule: Rule, reader: Reader) -> Read:
        """Read the rule that stands there."""
        formula = reader.formula(rule.when.text)
        opposite = denied(formula)
        clauses = tuple(tuple(_alternatives(part)) for part in _joined(opposite))
        return Read(
            at, rule, formula, opposite,
            tuple(Case.of(way) for way in _ways(formula) if together([way])),
            dict(_listed(formula)),
            clauses,
            _asked(clauses),
            _named(atom for atom in _atoms(opposite) if atom.sign),
        )  # fmt: skip

    def meets(self, other: Read) -> bool:
        """Whether the two may have some mail in common."""
        if not any(a.fits(b) for a in self.cases for b in other.cases):
            return False
        whole = all(case.whole for case in (*self.cases, *other.cases))
        return whole or together([self.formula, other.formula])


class Taking:
    """Rules that take mail, found by a word that they ask for."""

    def __init__(self, rules: Sequence[Read]) -> None:
        self.spared = frozenset[str]().union(*(each.spared for each in rules))
        self._others: list[Read] = []
        self._asking: dict[str, dict[Value, list[Read]]] = {}
        words: dict[str, set[Value]] = {}
        for each in rules:
            for name, listed in each.listed.items():
                words.setdefault(name, set()).update(listed)
        for each in rules:
            names = [name for name in each.listed if name in each.asked]
            if not names:
                self._others.append(each)
                continue
            name = max(names, key=lambda name: len(words[name]))  # finds the fewest at a time
            for word in each.listed[name]:
                self._asking.setdefault(name, {}).setdefault(word, []).append(each)

    def near(self, case: Case, there: frozenset[str]) -> list[Read]:
        """Those that may take mail of it, as far as their words tell."""
        found = list(self._others)
        for name, asking in self._asking.items():
            if name in there:
                for word in case.listed.get(name, asking):
                    found += asking.get(word, ())
        once = {each.at: each for each in found}.values()
        return [e for e in once if e.asked <= there and not _apart(e.listed, case.listed)]


def takers(rule: Read, taking: Taking, before: Callable[[Read, Read], bool]) -> list[Read]:
    """Those that may take all mail of the rule; none where some of it is surely left over.

    `before` says whether the first of two is judged before the second.
    """
    found: dict[int, Read] = {}
    for case in rule.cases:
        there = case.there | taking.spared
        near = [each for each in taking.near(case, there) if before(each, rule)]
        near = _bearing(case, near)
        if not near:
            return []
        found |= {each.at: each for each in near}
    return [found[at] for at in sorted(found)]


def _bearing(case: Case, near: list[Read]) -> list[Read]:
    while near:
        there = case.there.union(*(each.spared for each in near))
        left = [each for each in near if _bears(case, each, there)]
        if len(left) == len(near):
            break
        near = left
    return near


def _apart(ours: Mapping[str, frozenset[Value]], theirs: Mapping[str, frozenset[Value]]) -> bool:
    """Whether two have surely no mail in common, seen from their lists of words."""
    return any(name in theirs and words.isdisjoint(theirs[name]) for name, words in ours.items())


def _bears(case: Case, other: Read, there: Collection[str]) -> bool:
    """Whether to deny the other rule is more than what costs nothing."""
    for clause in other.clauses:
        if not any(all(_free(case, atom, there) for atom in way) for way in clause):
            return True
    return False


def _free(case: Case, atom: Atom, there: Collection[str]) -> bool:
    """Whether a literal may be so without loss: it is so already, or its subject may be absent."""
    subject, known = atom.subject, case.known
    if not atom.sign and subject.text not in there:
        return True
    if subject.text not in known and not any(
        need in known for need in (*subject.needs, subject.owner)
    ):
        return False
    return refuted(known, Atom(subject, atom.literal, not atom.sign))


def _asked(clauses: tuple[tuple[tuple[Atom, ...], ...], ...]) -> frozenset[str]:
    """The subjects without any of which the only clause is so."""
    if len(clauses) != 1:
        return frozenset()
    alone = (way[0] for way in clauses[0] if len(way) == 1)
    return frozenset(atom.subject.text for atom in alone if not atom.sign)


def _ways(formula: Formula) -> Iterator[Formula]:
    """The alternatives of what it joins, each with each; the whole where they are too many."""
    choices = [part.parts if isinstance(part, OneOf) else (part,) for part in _joined(formula)]
    if math.prod(map(len, choices)) > CASES_MAX:
        yield formula
        return
    yield from (plain(All(parts)) for parts in itertools.product(*choices))


def _joined(formula: Formula) -> tuple[Formula, ...]:
    return formula.parts if isinstance(formula, All) else (formula,)


def _alternatives(formula: Formula) -> Iterator[tuple[Atom, ...]]:
    """The literals of each alternative that has nothing else; the others are left to the search."""
    for part in formula.parts if isinstance(formula, OneOf) else (formula,):
        atoms = tuple(each for each in _joined(part) if isinstance(each, Atom))
        if len(atoms) == len(_joined(part)):
            yield atoms


def _listed(formula: Formula) -> Iterator[tuple[str, frozenset[Value]]]:
    for part in _joined(formula):
        if isinstance(part, Atom) and part.sign and isinstance(part.literal, Among):
            yield part.subject.text, part.literal.values


def _atoms(formula: Formula) -> Iterator[Atom]:
    todo = [formula]
    while todo:
        each = todo.pop()
        if isinstance(each, Atom):
            yield each
        else:
            todo.extend(each.parts)


def _named(atoms: Iterable[Atom]) -> frozenset[str]:
    """The subjects of literals, with the records that they cannot be without."""
    return frozenset(name for a in atoms for name in (a.subject.text, *a.subject.needs))
