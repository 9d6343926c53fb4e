"""Several processes that send as one: shares of a plan."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.load.crew import share
from millrace.engine.load.drive import Plan
from millrace.engine.load.timing import Rate


@given(st.integers(1, 8), st.integers(1, 500), st.integers(1, 200))
def test_the_shares_of_a_closed_loop_make_the_whole(clients, mails, at_once):
    parts = [share(Plan(at_once, mails=mails), n, clients) for n in range(clients)]
    assert sum(part.mails for part in parts) == mails
    assert sum(part.at_once for part in parts) == max(at_once, clients)


def test_each_process_of_an_open_loop_has_its_own_arrivals():
    plan = Plan(rate=Rate(4, 1.0, 1.0))
    moments = [list(share(plan, n, 2).rate.moments()) for n in range(2)]
    assert moments == [[0.0, 0.5], [0.25, 0.75]]
