"""Room for mails in work: bounded for the whole daemon, fair between clients."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.census import MAILS, OCTETS, Census
from millrace.engine.pressure import Pressure, Room

ROOM = Room(mails=8, octets=1000)


def test_one_busy_client_gets_half_and_a_new_one_still_finds_room():
    pressure = Pressure(ROOM)
    loads = [load for _ in range(8) if (load := pressure.begin("busy"))]
    assert len(loads) == 4
    assert pressure.begin("new") is not None
    assert pressure.refused == 4


def test_client_that_is_busy_at_every_worker_has_no_larger_share_than_at_one():
    census = Census(4, 0)
    workers = [Pressure(ROOM, census.seat(row)) for row in range(4)]
    loads = [load for _ in range(8) for each in workers if (load := each.begin("busy"))]
    assert len(loads) == 4
    assert workers[2].begin("new") is not None
    loads.pop()
    large = workers[1].begin("busy")
    assert large is not None
    assert large.grow(400)
    assert not loads[2].grow(300)


def test_mail_that_has_ended_makes_room_again():
    pressure = Pressure(Room(mails=1, octets=1000))
    load = pressure.begin("a")
    assert load is not None
    assert pressure.begin("b") is None
    load.end()
    load.end()
    assert pressure.begin("b") is not None


def test_mail_that_nobody_holds_any_longer_has_ended():
    pressure = Pressure(Room(mails=1, octets=1000))
    assert pressure.begin("a") is not None
    assert pressure.begin("b") is not None


def test_mail_may_grow_until_it_is_larger_than_what_is_left():
    pressure = Pressure(ROOM)
    load = pressure.begin("a")
    assert load is not None
    assert load.grow(500)
    assert not load.grow(501)
    load.end()
    again = pressure.begin("a", 1000)
    assert again is not None


def test_mail_that_says_it_is_too_large_is_refused_before_it_comes():
    pressure = Pressure(ROOM)
    assert pressure.begin("a", 1001) is None


def test_bound_holds_for_all_workers_together():
    census = Census(2, 0)
    one, other = (Pressure(Room(2, 1000), census.seat(row)) for row in range(2))
    held = [one.begin("a"), other.begin("b")]
    assert all(held)
    assert one.begin("c") is None
    census.clear(1)  # the other worker died
    assert one.begin("c") is not None


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 400), st.booleans()))


@given(STEPS)
def test_count_is_true_whatever_comes_and_goes(steps):
    census = Census(1, 0)
    pressure = Pressure(ROOM, census.seat(0))
    held = []
    for client, octets, goes in steps:
        load = pressure.begin(client)
        if load is not None:
            load.grow(octets)
            held.append((load, octets))
        if goes and held:
            held.pop()[0].end()
        seat = census.seat(0)
        assert seat.total(MAILS) == len(held) <= ROOM.mails
        assert seat.total(OCTETS) == sum(size for _, size in held)
