"""A breaker opens, rests, probes and closes; whatever comes in whatever order."""

from __future__ import annotations

import logging

import pytest
from fakes import ManualClock
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.breaker import Breaker, Probe, Terms
from millrace.engine.errors import Unavailable

TERMS = Terms(failures=3, pause=0.5, pause_max=4.0, patience=1.0)


def made(clock: ManualClock, chance: float = 0.0) -> Breaker:
    return Breaker("state", "10.0.0.1:6379", TERMS, clock.now, lambda: chance)


def opened(clock: ManualClock) -> Breaker:
    breaker = made(clock)
    for _ in range(3):
        breaker.failed(breaker.admit(), "refused")
    return breaker


def test_it_opens_after_failures_in_a_row_alone() -> None:
    breaker = made(ManualClock())
    for _ in range(10):
        breaker.failed(breaker.admit(), "refused")
        breaker.failed(breaker.admit(), "refused")
        breaker.admit()
        breaker.succeeded()
    assert (breaker.state, breaker.openings) == ("closed", 0)
    for _ in range(3):
        breaker.failed(breaker.admit(), "refused")
    assert (breaker.state, breaker.openings) == ("open", 1)


def test_a_spared_call_says_why_and_when() -> None:
    breaker = opened(ManualClock())
    words = "^state 10.0.0.1:6379: refused; not asked, next try in 0.5 s$"
    with pytest.raises(Unavailable, match=words) as caught:
        breaker.admit()
    assert caught.value.retry_after == 0.5
    assert breaker.spared == 1


def test_one_probe_goes_when_the_pause_is_over() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.move(0.5)
    assert breaker.state == "half-open"
    assert isinstance(breaker.admit(), Probe)
    with pytest.raises(Unavailable, match="a probe is under way"):
        breaker.admit()


def test_a_failed_probe_doubles_the_pause_up_to_its_bound() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    pauses = []
    for _ in range(6):
        pauses.append(breaker.as_json()["next_try_s"])
        clock.move(pauses[-1])
        breaker.failed(breaker.admit(), "refused")
    assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_pause_begins_anew_after_a_success() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.move(0.5)
    breaker.failed(breaker.admit(), "refused")
    clock.move(1.0)
    breaker.admit()
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(breaker.admit(), "refused")
    assert breaker.as_json()["next_try_s"] == 0.5


def test_a_call_cancelled_late_was_a_time_out_and_one_cancelled_soon_was_none() -> None:
    clock = ManualClock()
    breaker = made(clock)
    for seconds, state in ((0.9, "closed"), (1.0, "open")):
        begun = [breaker.admit() for _ in range(3)]
        clock.move(seconds)
        for began in begun:
            breaker.cancelled(began)
        assert breaker.state == state


def test_a_probe_that_nobody_waits_for_leaves_its_place_to_the_next() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.move(0.5)
    breaker.cancelled(breaker.admit())
    assert isinstance(breaker.admit(), Probe)


def test_a_straggler_that_fails_does_not_end_the_probe() -> None:
    clock = ManualClock()
    breaker = made(clock)
    straggler = breaker.admit()
    for _ in range(3):
        breaker.failed(breaker.admit(), "refused")
    clock.move(0.5)
    breaker.admit()
    breaker.failed(straggler, "timed out")
    with pytest.raises(Unavailable):
        breaker.admit()


def test_opening_and_closing_are_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    with caplog.at_level(logging.INFO, "millrace.services"):
        breaker = opened(clock)
        for _ in range(7):
            with pytest.raises(Unavailable):
                breaker.admit()
        clock.move(12.0)
        breaker.admit()
        breaker.succeeded()
    assert [record.getMessage() for record in caplog.records] == [
        "state 10.0.0.1:6379 is away (refused): not asked for now, filters go by their on_error",
        "state 10.0.0.1:6379 is back after 12.0 s, 7 calls were spared",
    ]


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "yes", "no", "leave"]), st.integers(0, 9), st.floats(0, 3)),
    max_size=60,
)


@given(STEPS, st.floats(0, 1))
def test_in_any_order_one_probe_at_most_and_no_pause_beyond_its_bound(
    steps: list[tuple[str, int, float]], chance: float
) -> None:
    clock = ManualClock()
    breaker = made(clock, chance)
    under_way: list[float] = []
    for what, which, seconds in steps:
        clock.move(seconds)
        if what == "ask":
            try:
                under_way.append(breaker.admit())
            except Unavailable:
                assert breaker.state != "closed"
        elif under_way:
            began = under_way.pop(which % len(under_way))
            if what == "yes":
                breaker.succeeded()
                assert breaker.state == "closed"
                # a probe that was overtaken is a call like others now
                under_way = [float(each) for each in under_way]
            elif what == "no":
                breaker.failed(began, "no")
            else:
                breaker.cancelled(began)
        # of a probe that is older than the longest pause nothing is expected any more
        young = [each for each in under_way if clock.now() - each < TERMS.pause_max]
        assert sum(isinstance(each, Probe) for each in young) <= 1
        assert breaker.as_json().get("next_try_s", 0.0) <= TERMS.pause_max
        assert breaker.openings or not breaker.spared
