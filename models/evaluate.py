"""Evaluate: how good are these probabilities?

Precision, recall and false-positive rate at thresholds, AUC, Brier score and how far the
probabilities are from the shares that they promise.  Plain Python: numbers that an operator
acts on should not need a library to be checked.

Gives:  the same figures for the same scores, whatever their order.
Fails:  never; a rate without mails is None.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

THRESHOLDS = (0.5, 0.9, 0.99)
BINS = 10


@dataclass(frozen=True, slots=True)
class Cut:
    """What a threshold does: rates from 0 to 1, None where there is no such mail."""

    threshold: float
    precision: float | None
    recall: float | None
    false_positives: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a set of mails; `calibration_error` is the mean gap, weighted by mails."""

    ham: int
    spam: int
    auc: float | None
    brier: float | None
    calibration_error: float | None
    cuts: tuple[Cut, ...]


def figures(scores: Iterable[tuple[float, bool]]) -> Figures:
    """Figures of (probability, is spam)."""
    ranked = sorted(scores)
    spam = sum(label for _, label in ranked)
    ham = len(ranked) - spam
    brier = sum((probability - label) ** 2 for probability, label in ranked)
    return Figures(
        ham=ham,
        spam=spam,
        auc=_auc(ranked, ham, spam),
        brier=_rate(brier, len(ranked)),
        calibration_error=_gap(ranked),
        cuts=tuple(_cut(ranked, at, ham, spam) for at in THRESHOLDS),
    )


def _rate(part: float, whole: int) -> float | None:
    return round(part / whole, 5) if whole else None


def _cut(ranked: list[tuple[float, bool]], at: float, ham: int, spam: int) -> Cut:
    above = [label for probability, label in ranked if probability >= at]
    caught = sum(above)
    return Cut(at, _rate(caught, len(above)), _rate(caught, spam), _rate(len(above) - caught, ham))


def _auc(ranked: list[tuple[float, bool]], ham: int, spam: int) -> float | None:
    """The chance that a spam scores above a ham; ties count half."""
    wins, below = 0.0, 0
    for _, group in itertools.groupby(ranked, key=lambda pair: pair[0]):
        labels = [label for _, label in group]
        here = len(labels) - sum(labels)
        wins += sum(labels) * (below + here / 2)
        below += here
    return _rate(wins, ham * spam)


def _gap(ranked: list[tuple[float, bool]]) -> float | None:
    total = 0.0
    for number in range(BINS):
        inside = [(p, label) for p, label in ranked if min(int(p * BINS), BINS - 1) == number]
        total += abs(sum(p for p, _ in inside) - sum(label for _, label in inside))
    return _rate(total, len(ranked))
