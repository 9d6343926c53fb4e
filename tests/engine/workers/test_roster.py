"""Which children run: pure decisions, with a clock in the hand."""

from __future__ import annotations

import pytest

from millrace.engine.workers.roster import (
    BACKOFF_MAX_S,
    BEHIND_S,
    LONG_S,
    OFFICE,
    START_S,
    Kill,
    Leave,
    Member,
    Phase,
    Roster,
    Start,
    Terms,
)

TERMS = Terms(hung=10.0, drain=20.0, patience=3.0)


def filled(slots: list[int], now: float = 0.0) -> tuple[Roster, list[Member]]:
    """All serve."""
    roster = Roster(slots, TERMS)
    members = []
    for pid, slot in enumerate(slots, 100):
        member = roster.started(slot, pid, pid - 100, now)
        roster.ready(member, now)
        members.append(member)
    return roster, members


def test_every_empty_slot_is_filled_once():
    roster = Roster([0, 1, OFFICE], TERMS)
    assert roster.due(0.0) == [Start(0), Start(1), Start(OFFICE)]
    for pid, slot in enumerate((0, 1, OFFICE)):
        roster.started(slot, pid, pid, 0.0)
    assert roster.due(0.0) == []
    assert not roster.complete


def test_first_failure_is_followed_at_once_and_later_ones_ever_later():
    roster, (member,) = filled([0])
    waits = []
    now = 1.0
    for pid in range(9):
        assert roster.ended(member, now)
        waits.append(roster.backoff(0))
        assert (Start(0) in roster.due(now)) == (waits[-1] == 0)
        now += waits[-1]
        assert roster.due(now) == [Start(0)]
        member = roster.started(0, 200 + pid, 0, now)
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert max(waits) == BACKOFF_MAX_S


def test_who_lived_long_starts_again_without_a_wait():
    roster, (member,) = filled([0])
    roster.ended(member, 1.0)
    roster.ended(roster.started(0, 7, 0, 1.0), 2.0)
    roster.ended(roster.started(0, 8, 0, 3.0), 3.0 + LONG_S)
    assert roster.backoff(0) == 0


def test_silent_worker_is_killed_once():
    roster, (member,) = filled([0])
    assert roster.due(10.0) == []
    assert roster.due(10.5) == [Kill(member, "it was silent for 10 s")]
    assert roster.due(11.0) == []


def test_time_in_the_queue_for_a_processor_is_not_silence():
    queued = {100: 3.0}
    roster = Roster([0], TERMS, lambda pid: queued[pid])
    member = roster.started(0, 100, 0, 0.0)
    roster.ready(member, 0.0)
    queued[100] += 4.0
    roster.due(13.5)
    assert roster.due(14.0) == []
    assert roster.due(14.5) == [Kill(member, "it was silent for 10 s")]


def test_time_in_which_nobody_listened_is_not_silence():
    roster, (member,) = filled([0])
    for now in (1.0, 1.5, 60.0, 60.5, 68.0):
        assert roster.due(now) == []
    looks = [roster.due(68.0 + tick / 2) for tick in range(30)]
    assert [Kill(member, "it was silent for 10 s")] in looks


def test_child_that_is_never_ready_is_killed():
    roster = Roster([0], TERMS)
    member = roster.started(0, 7, 0, 0.0)
    assert roster.due(START_S) == []
    assert [type(order) for order in roster.due(START_S + 1)] == [Kill]
    assert member.killed


def test_child_that_is_too_large_is_replaced_when_it_has_lived_and_not_before():
    roster, (member,) = filled([0])
    assert not roster.outgrown(member, LONG_S - 1)
    assert roster.due(1.0) == []
    assert roster.outgrown(member, LONG_S)
    assert roster.due(1.0) == [Start(0)]


def test_restart_may_mend_what_is_started_in_vain_and_waits_for_what_starts():
    roster, (old,) = filled([0])
    roster.replace(old)
    new = roster.started(0, 200, 1, 1.0)
    assert (roster.complete, roster.failing) == (False, False)
    roster.ended(new, 2.0)
    roster.ended(roster.started(0, 201, 1, 2.0), 3.0)
    assert (roster.complete, roster.failing) == (False, True)
    roster.ready(roster.started(0, 202, 1, 4.0), 5.0)
    assert (roster.complete, roster.failing) == (True, False)


def test_successor_serves_before_the_old_one_leaves():
    roster, (old,) = filled([0])
    roster.replace(old)
    assert roster.due(1.0) == [Start(0)]
    new = roster.started(0, 200, 1, 1.0)
    assert roster.due(2.0) == []
    assert old.phase is Phase.SERVING
    assert (roster.serving, roster.taking, roster.working) == ([], [old], [old])
    roster.ready(new, 2.0)
    assert roster.due(3.0) == [Leave(old, TERMS.patience)]
    assert (roster.serving, roster.taking, roster.working) == ([new], [new], [old, new])
    assert not roster.ended(old, 4.0)
    assert roster.restarts == 0


def test_leaving_child_is_killed_when_its_time_is_over():
    roster, (member,) = filled([0])
    roster.stop()
    assert roster.due(0.0) == [Leave(member, 0.0)]
    assert roster.due(TERMS.drain + BEHIND_S) == []
    assert roster.due(TERMS.drain + BEHIND_S + 1) == [Kill(member, "it did not end in time")]


def test_nobody_is_started_while_all_leave():
    roster, (member,) = filled([0])
    roster.stop()
    roster.due(0.0)
    assert not roster.ended(member, 1.0)
    assert roster.due(2.0) == []


def test_adopted_worker_leaves_when_its_successor_is_ready():
    roster = Roster([0], TERMS)
    old = roster.adopt(0, 7, 0.0)
    assert roster.due(0.0) == [Start(0)]
    assert not roster.complete
    roster.ready(roster.started(0, 8, 0, 0.0), 1.0)
    assert roster.due(1.0) == [Leave(old, TERMS.patience)]


def test_adopted_worker_whose_slot_is_gone_leaves_when_all_others_are_ready():
    roster = Roster([0], TERMS)
    extra = roster.adopt(1, 7, 0.0)
    new = roster.started(0, 8, 0, 0.0)
    assert roster.due(0.0) == []
    roster.ready(new, 1.0)
    assert roster.due(1.0) == [Leave(extra, TERMS.patience)]


def test_adopted_child_that_was_leaving_is_not_missed():
    roster = Roster([0], TERMS)
    old = roster.adopt(0, 7, 0.0, leaving=True)
    assert not roster.ended(old, 1.0)
    assert roster.restarts == 0


@pytest.mark.parametrize("slot", [0, OFFICE])
def test_complete_means_that_every_slot_has_one_that_serves(slot):
    roster, members = filled([0, OFFICE])
    assert roster.complete
    roster.ended(next(m for m in members if m.slot == slot), 1.0)
    assert not roster.complete
