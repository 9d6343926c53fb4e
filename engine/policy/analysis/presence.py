"""What a policy names and its pipeline does not measure.

A policy may serve several pipelines, so a rule that sleeps in one of them is no fault; what
is said here holds for one pipeline, and whoever compares them drops what another one needs.
"""

from __future__ import annotations

from collections.abc import Iterator

from millrace.engine.document import Document
from millrace.engine.policy.analysis.finding import Finding, fault_at
from millrace.engine.policy.analysis.text import conjuncts, shown, tree
from millrace.engine.policy.expr import Expression
from millrace.engine.policy.rule import Policy, Rule, Vocabulary, Weight

_NOTHING = {"score": 0.0}


def asleep(policy: Policy, document: Document, words: Vocabulary) -> Iterator[Finding]:
    """Rules and weights that can do nothing, since no filter gives what they need."""
    for kind, entry, texts in _entries(policy):
        missing = sorted(_needed(texts, words))
        if entry.live or not missing:
            continue
        names = " and ".join(missing)
        sentence = f'{kind} "{entry.name}" needs {names}, which no filter gives'
        adds = "   ".join(f'[[filter]] use = "{name}"' for name in missing)
        hint = f"Add   {adds}   to the pipeline, or remove the {kind}."
        fault = fault_at(document, (kind, entry.name, entry.place), sentence, hint)
        yield Finding("no-filter", "note", fault, entry.name)


def hollow(policy: Policy, document: Document, words: Vocabulary) -> Iterator[Finding]:
    """Parts of conditions that hold for every mail, since nobody measures what they deny."""
    absent = _absent(words)
    for kind, entry, texts in _entries(policy):
        for text in texts if entry.live else ():
            names, said = _holding(text, absent)
            if not names:
                continue
            facts = " and ".join(sorted(names))
            sentence = f"{facts} is given by no filter, so this always holds: {said}"
            hint = f'Add   [[filter]] use = "{min(names)}"   to the pipeline, or name {facts} '
            hint += f"first: {min(names)} and …"
            offset, width = max(text.text.find(said), 0), len(said)
            where = (kind, entry.name, entry.place)
            fault = fault_at(
                document, where, sentence, hint, key="when", offset=offset, width=width
            )
            yield Finding("always-holds", "note", fault, entry.name)


def unread(policy: Policy, document: Document) -> Iterator[Finding]:
    """Weights whose score no rule asks for."""
    if not policy.weights or any("score" in rule.names for rule in policy.rules):
        return
    first = policy.weights[0]
    sentence = "weights add up to a score that no rule reads"
    hint = 'Add a rule such as   when = "score >= 7"   or remove the weights.'
    fault = fault_at(document, ("weight", first.name, first.place), sentence, hint)
    yield Finding("score-unread", "note", fault, "score")


def _entries(policy: Policy) -> Iterator[tuple[str, Rule | Weight, list[Expression]]]:
    for rule in policy.rules:
        yield "rule", rule, [rule.when]
    for weight in policy.weights:
        yield "weight", weight, [weight.when] if weight.when else [weight.add]


def _absent(words: Vocabulary) -> frozenset[str]:
    return frozenset(name for name, word in words.items() if not word.given)


def _needed(texts: list[Expression], words: Vocabulary) -> set[str]:
    """Of the parts that cannot hold here, the names that are not there."""
    absent = _absent(words)
    parts = [part for text in texts for part in text.parts]
    return {
        n for names, run in parts if names and names <= absent and not run(_NOTHING) for n in names
    }


def _holding(text: Expression, absent: frozenset[str]) -> tuple[frozenset[str], str]:
    """The first part that holds without what it names, as the operator wrote it."""
    body = tree(text.text)
    said = [shown(part) for part in conjuncts(body)] if body is not None else []
    if len(said) != len(text.parts):
        return frozenset(), ""
    for (names, run), words in zip(text.parts, said, strict=True):
        if names and names <= absent and run(_NOTHING):
            return names, words
    return frozenset(), ""
