"""Can these conditions hold together?

A search over alternatives, with a bound on its steps: "no" is proved, "yes" may only mean
that no proof was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from millrace.engine.policy.analysis.formula import All, Atom, Formula, OneOf, denied
from millrace.engine.policy.analysis.literal import Signed, Subject, Truthy, possible

STEPS = 2000
DEPTH = 60
Known = dict[str, tuple[Subject, tuple[Signed, ...]]]


def together(formulas: Iterable[Formula]) -> bool:
    """Whether some mail may make all of them true; False is proved."""
    return _Search().holds({}, list(formulas), 0)


def follows(said: Formula, claims: Sequence[Formula]) -> bool:
    """Whether surely one of the claims holds wherever `said` does."""
    return not together([said, *(denied(claim) for claim in claims)])


def fixed(formula: Formula) -> Known:
    """What the literals say that a formula joins, by subject; of one that can hold."""
    known: Known = {}
    search = _Search()
    todo: list[Formula] = [formula]
    while todo:
        part = todo.pop()
        if isinstance(part, All):
            todo.extend(part.parts)
        elif isinstance(part, Atom):
            search.learn(known, part)
    return known


def refuted(known: Known, atom: Atom) -> bool:
    """Whether a literal cannot be so beside what is known."""
    return not _Search().learn(dict(known), atom)


class _Search:
    """One question; it gives up, with yes, when its steps are spent."""

    def __init__(self) -> None:
        self.left = STEPS

    def holds(self, known: Known, todo: list[Formula], depth: int) -> bool:
        """Whether what is known and what is to do can be true at once."""
        if depth > DEPTH:
            return True
        known = dict(known)
        choices: list[OneOf] = []
        while todo:
            formula = todo.pop()
            if isinstance(formula, All):
                todo.extend(formula.parts)
            elif isinstance(formula, OneOf):
                choices.append(formula)
            elif not self.learn(known, formula):
                return False
        return self._decide(known, choices, depth)

    def _decide(self, known: Known, choices: list[OneOf], depth: int) -> bool:
        open_ = []
        for choice in choices:
            parts = tuple(part for part in choice.parts if not self._refuted(known, part))
            if not parts:
                return False
            open_.append(OneOf(parts))
        if not open_:
            return True
        first = min(open_, key=lambda choice: len(choice.parts))
        rest: list[Formula] = [choice for choice in open_ if choice is not first]
        return any(self.holds(known, [*rest, part], depth + 1) for part in first.parts)

    def _refuted(self, known: Known, part: Formula) -> bool:
        return isinstance(part, Atom) and not self.learn(dict(known), part)

    def learn(self, known: Known, atom: Atom) -> bool:
        """Add one literal; False when it cannot be true beside the others."""
        self.left -= 1
        if self.left <= 0:
            return True
        subject, said = known.get(atom.subject.text, (atom.subject, ()))
        signed = (atom.literal, atom.sign)
        if signed in said:
            return True
        said = (*said, signed)
        known[subject.text] = (subject, said)
        return possible(subject, said) and self._records_there(known, atom)

    def _records_there(self, known: Known, atom: Atom) -> bool:
        """A field that is there has its record there."""
        if not atom.sign:
            return True
        subject, there = atom.subject, Truthy()
        needs = set(subject.needs)
        if subject.owner and not atom.literal.of(""):
            needs.add(subject.owner)
        return all(self.learn(known, Atom(Subject(name), there)) for name in needs)
