"""The soak's verdict: what grows over the second half is not flat."""

from __future__ import annotations

import random

import pytest
from bench import soak
from bench.flat import trend
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.load.timing import Outcome, Rate


def samples(*values: float) -> list[tuple[float, float]]:
    return [(10.0 * at, value) for at, value in enumerate(values)]


def test_what_fills_up_at_first_and_then_stays_is_flat():
    assert trend("m", samples(10, 40, 70, 90, 95, 95, 95, 95, 95, 95), 0.05).flat


def test_what_grows_to_the_end_is_not_flat():
    found = trend("m", samples(*range(100, 200, 10)), 0.05)
    assert not found.flat
    assert found.growth == pytest.approx(40.0)


def test_a_leak_is_seen_through_noise():
    chance = random.Random(1)
    leaking = [100 + at * 0.5 + chance.uniform(-2, 2) for at in range(90)]
    level = [100 + chance.uniform(-2, 2) for _ in range(90)]
    assert not trend("m", samples(*leaking), 0.05).flat
    assert trend("m", samples(*level), 0.05).flat


@given(st.floats(1, 1e9), st.integers(4, 200))
def test_a_level_line_is_flat_whatever_its_height(height, count):
    assert trend("m", samples(*[height] * count), 0.01).flat


def test_what_shrinks_is_flat():
    assert trend("m", samples(*range(200, 100, -10)), 0.01).flat


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="too few"):
        trend("m", samples(1, 2, 3), 0.1)


def test_growth_and_lost_mails_are_the_answer_no(capsys):
    flat, grows = trend("a", samples(*[5] * 10), 0.1), trend("b", samples(*range(10)), 0.1)
    lost = Outcome()
    lost.errors["hung up"] = 1
    assert soak.told([flat], Outcome()) == 0
    assert soak.told([flat, grows], Outcome()) == 1
    assert soak.told([flat], lost) == 1
    assert "GROWS" in capsys.readouterr().out


def test_every_second_mail_comes_again_long_after_it_was_new():
    mail = soak.returning(lambda number: number)
    asked = [mail(number) for number in range(3 * soak.BACK)]
    new, again = asked[::2], asked[1::2]
    assert new == list(range(len(new)))
    assert again[soak.BACK :] == list(range(len(again) - soak.BACK))


def test_the_state_is_counted_for_each_pair_seen(tmp_path):
    sampler = soak.Sampler(1, tmp_path, 10.0)
    for at in range(1, 11):
        sampler.series["RSS MiB"].append((at * 10.0, 90.0))
        sampler.series["open files"].append((at * 10.0, 20.0))
        sampler.series["state octets"].append((at * 10.0, 300.0 * at * 10 * 50))
    trends = {each.name: each for each in sampler.trends(Rate(50, 1.0, 100.0), 1_000_000)}
    assert trends["state octets a pair"].middle == pytest.approx(600.0)
    assert all(each.flat for each in trends.values())


def test_length_and_workers_are_understood():
    chosen = soak.arguments(["--for", "2m", "--workers", "1"])
    assert (chosen.seconds, chosen.workers) == (120.0, 1)
    assert soak.arguments([]).seconds == 900.0
