"""Figures are checked by hand on scores small enough to count."""

from __future__ import annotations

import pytest

from millrace.models.evaluate import figures

SCORES = [(0.1, False), (0.2, False), (0.95, False), (0.6, True), (0.95, True), (0.999, True)]


def test_rates_at_each_threshold_are_counted() -> None:
    half, ninety, top = figures(SCORES).cuts
    assert (half.recall, half.false_positives, half.precision) == (1.0, 0.33333, 0.75)
    assert (ninety.recall, ninety.false_positives) == (0.66667, 0.33333)
    assert (top.recall, top.false_positives, top.precision) == (0.33333, 0.0, 1.0)


def test_area_counts_ties_half() -> None:
    # 9 pairs: six clear, 0.6 loses to 0.95, one tie, and 0.999 beats all
    assert figures(SCORES).auc == pytest.approx((6 + 0 + 0.5 + 1) / 9, abs=1e-5)


def test_order_of_mails_changes_nothing() -> None:
    assert figures(SCORES) == figures(reversed(SCORES))


def test_certain_and_right_is_the_best_brier_score() -> None:
    assert figures([(1.0, True), (0.0, False)]).brier == 0
    assert figures([(0.0, True), (1.0, False)]).brier == 1


def test_promises_that_are_kept_have_no_calibration_error() -> None:
    kept = [(0.25, label) for label in (True, False, False, False)]
    assert figures(kept).calibration_error == 0
    assert figures([(0.25, True)]).calibration_error == 0.75


def test_no_mail_gives_no_rates() -> None:
    found = figures([])
    assert (found.auc, found.brier, found.cuts[0].recall) == (None, None, None)
