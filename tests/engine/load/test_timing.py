"""Arrivals, quantiles, and times that count from when a mail was due."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.load.timing import Latencies, Outcome, Rate

seconds = st.floats(min_value=1e-5, max_value=600.0)


def noted(*durations: float) -> Latencies:
    latencies = Latencies()
    for duration in durations:
        latencies.add(duration)
    return latencies


def test_arrivals_come_at_an_even_pace():
    assert list(Rate(2, 1.0, 2.0).moments()) == [0.0, 0.5, 1.0, 1.5]


def test_a_rate_of_a_minute_counts_in_minutes():
    assert Rate(30, 60.0, 60.0).total == 30
    assert Rate(30, 60.0, 60.0).each_s == 0.5


@given(st.integers(1, 7), st.integers(1, 400), st.floats(0.5, 20.0))
def test_the_shares_of_several_clients_make_the_whole(shares, count, length):
    whole = Rate(count, 1.0, length)
    parts = [Rate(count, 1.0, length, share, shares) for share in range(shares)]
    together = sorted(moment for part in parts for moment in part.moments())
    assert together == pytest.approx(list(whole.moments()))
    assert all(moment < length + 1e-9 for moment in together)


@given(st.lists(seconds, min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 0.999, 1.0]))
def test_a_quantile_is_at_most_one_percent_too_high(durations, share):
    exact = sorted(durations)[max(math.ceil(share * len(durations)), 1) - 1]
    found = noted(*durations).quantile(share)
    assert exact * 0.999999 <= found <= exact * 1.0100001


@given(st.lists(seconds, max_size=50), st.lists(seconds, max_size=50))
def test_two_clients_together_have_the_quantiles_of_both(mine, yours):
    assert noted(*mine) + noted(*yours) == noted(*mine, *yours)


@given(st.lists(seconds, max_size=50))
def test_what_was_kept_is_read_again(durations):
    latencies = noted(*durations)
    assert Latencies.of(latencies.data()) == latencies


def test_what_nobody_wrote_is_no_latencies():
    with pytest.raises(ValueError, match="no latencies"):
        Latencies.of({"buckets": 3})


def test_outcomes_of_several_clients_add_up():
    one, two = Outcome(busy=0.4, seconds=2.0), Outcome(busy=0.95, seconds=3.0)
    one.verdicts["accept"], two.verdicts["accept"] = 3, 4
    two.errors["hung up"] = 1
    both = one + two
    assert (both.answered, both.errors["hung up"], both.busy, both.seconds) == (7, 1, 0.95, 3.0)


def test_nothing_sent_has_no_quantile():
    assert Latencies().quantile(0.99) == 0.0
