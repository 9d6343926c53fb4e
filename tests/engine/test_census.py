"""What several workers have in hand, counted in memory that they share."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.census import ACCEPTS, MAILS, OCTETS, Census


def test_sums_are_over_all_workers_and_others_leave_one_out():
    census = Census(3, 1)
    seats = [census.seat(row) for row in range(3)]
    for amount, seat in enumerate(seats, 1):
        seat.add(MAILS, amount)
    assert seats[0].total(MAILS) == 6
    assert seats[0].own(MAILS) == 1
    assert seats[0].others(MAILS) == 5


def test_what_a_child_process_counts_is_seen_by_its_parent():
    census = Census(2, 0)
    pid = os.fork()
    if pid == 0:
        census.seat(1).add(OCTETS, 77)
        os._exit(0)
    os.waitpid(pid, 0)
    assert census.seat(0).total(OCTETS) == 77


def test_row_of_a_dead_worker_is_cleared_and_no_other():
    census = Census(2, 2)
    one, other = census.seat(0), census.seat(1)
    for seat in (one, other):
        seat.add(MAILS, 2)
        seat.add(seat.door(1), 5)
    census.clear(1)
    assert census.row(0) == (2, 0, (0, 5))
    assert census.row(1) == (0, 0, (0, 0))


def test_fewest_counts_only_those_that_accept():
    census = Census(3, 1)
    busy, idle, gone = (census.seat(row) for row in range(3))
    busy.add(busy.door(0), 9)
    idle.add(idle.door(0), 4)
    busy.accept(doors_open=True)
    idle.accept(doors_open=True)
    assert busy.fewest(busy.door(0)) == 4
    assert gone.own(ACCEPTS) == 0


@given(st.lists(st.ip_addresses().map(str), max_size=30))
def test_cell_of_a_client_is_never_one_of_a_door(addresses):
    census = Census(1, 3)
    seat = census.seat(0)
    for ip in addresses:
        for door in range(3):
            assert seat.door(2) < seat.client(door, ip) < census.width
