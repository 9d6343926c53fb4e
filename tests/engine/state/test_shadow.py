"""What a process remembers by itself: a shadow of who passed, and answers a second old."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from fakes import ManualClock

from millrace.engine.errors import Unavailable
from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.session import Peer
from millrace.engine.operations.bucket import TakeTokens
from millrace.engine.operations.greylist import NoteVisit, Terms, Visit
from millrace.engine.operations.lease import Acquire
from millrace.engine.operations.operation import Operation
from millrace.engine.operations.reputation import AddReputation
from millrace.engine.state.memory import MemoryState
from millrace.engine.state.shadow import ShadowedState
from millrace.filters.greylist import CheckGreylist

TERMS = Terms(wait=300, window=3600, lifetime=86400, allow_after=2)


@dataclass
class Away(MemoryState):
    """A memory that can be away, and counts what it was asked."""

    clock: ManualClock = field(default_factory=ManualClock)
    away: bool = False
    asked: list[Operation[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.clock.now)

    def empty(self) -> None:
        super().__init__(self.clock.now)

    async def ask(self, operation: Operation[Any]) -> Any:
        if self.away:
            raise Unavailable("memory", "away")
        self.asked.append(operation)
        return await super().ask(operation)


class Stage:
    """A store, the shadow before it, and a clock for both."""

    def __init__(self, entries: int = 100) -> None:
        self.clock = ManualClock()
        self.store = Away(self.clock)
        self.shadow = ShadowedState(self.store, entries, self.clock.now)

    def ask(self, operation: Operation[Any]) -> Any:
        return asyncio.run(self.shadow.ask(operation))

    def visit(self, triplet: str = "t", client: str = "c") -> Visit:
        return self.ask(NoteVisit(triplet, client, TERMS))

    def pass_once(self, triplet: str = "t", client: str = "c") -> None:
        self.visit(triplet, client)
        self.clock.move(301)
        assert self.visit(triplet, client).state == "passed"


def test_who_passed_is_known_while_the_store_is_away():
    stage = Stage()
    stage.pass_once()
    stage.store.away = True
    assert stage.visit().state == "known"


def test_who_has_not_passed_is_not_answered_while_the_store_is_away():
    stage = Stage()
    stage.visit()
    stage.store.away = True
    with pytest.raises(Unavailable):
        stage.visit()


def test_an_emptied_store_learns_again_who_passed():
    stage = Stage()
    stage.pass_once()
    stage.store.empty()
    assert stage.visit().state == "known"
    other = ShadowedState(stage.store, 100, stage.clock.now)  # another process
    assert asyncio.run(other.ask(NoteVisit("t", "c", TERMS))).state == "known"


def test_an_emptied_store_learns_again_which_client_is_free():
    stage = Stage()
    for triplet in ("one", "two"):
        stage.pass_once(triplet)
    assert stage.visit("three").state == "client-known"
    stage.store.empty()
    assert stage.visit("four").state == "client-known"
    stage.store.away = True
    assert stage.visit("five").state == "client-known"


def test_the_shadow_forgets_after_the_lifetime():
    stage = Stage()
    stage.pass_once()
    stage.clock.move(86401)
    stage.store.away = True
    with pytest.raises(Unavailable):
        stage.visit()


def test_the_shadow_keeps_the_latest_and_no_more_than_its_bound():
    stage = Stage(entries=2)
    for name in "abc":
        stage.pass_once(name, name)
    stage.store.away = True
    assert [stage.visit(name, name).state for name in "bc"] == ["known", "known"]
    with pytest.raises(Unavailable):
        stage.visit("a", "a")


def test_without_entries_there_is_no_shadow():
    stage = Stage(entries=0)
    stage.pass_once()
    stage.store.away = True
    with pytest.raises(Unavailable):
        stage.visit()


def test_a_reputation_that_is_read_may_be_a_second_old():
    stage, read = Stage(), AddReputation("k", 100)
    for _ in range(3):
        stage.ask(read)
    assert len(stage.store.asked) == 1
    stage.clock.move(1.1)
    stage.ask(read)
    assert len(stage.store.asked) == 2


def test_a_refusal_is_repeated_for_a_second_and_no_longer_than_it_holds():
    stage, take = Stage(), TakeTokens("k", rate=2, burst=1)
    assert [stage.ask(take).allowed for _ in range(5)] == [True, False, False, False, False]
    assert len(stage.store.asked) == 2
    stage.clock.move(0.51)
    assert stage.ask(take).allowed


def test_leases_first_visits_and_taken_tokens_are_always_asked():
    stage = Stage()
    for operation in (Acquire("k", "h", 1, 60), NoteVisit("t", "c", TERMS), TakeTokens("k", 1, 9)):
        for _ in range(3):
            stage.ask(operation)
    assert len(stage.store.asked) == 9


def test_the_greylist_lets_who_passed_pass_through_an_outage_of_days():
    stage = Stage()
    greylist = CheckGreylist()

    def visit() -> str:
        peer, sender = Peer("192.0.2.7"), Sender(Address("a", "b.example"))
        run = greylist.run(peer, sender, Recipient(Address("c", "d.example")), stage.shadow)
        return asyncio.run(run).state

    assert visit() == "new"
    stage.clock.move(301)
    assert visit() == "passed"
    stage.store.away = True
    stage.clock.move(3 * 86400)  # what was remembered of the store itself is long forgotten
    assert visit() == "known"
