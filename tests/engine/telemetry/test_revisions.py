"""Mails by revision: the newest by name, the others under one, and no mail is forgotten."""

from __future__ import annotations

import asyncio

from fakes import Walker, plan_of, uses
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from millrace.engine.mail.finding import Fact
from millrace.engine.mail.session import Peer
from millrace.engine.telemetry.merging import families, lasting, merged
from millrace.engine.telemetry.metrics import Metrics
from millrace.engine.telemetry.revisions import EARLIER, KEPT, NAME, RevisionCounter


class Seen(Fact):
    """A fact."""


class Look:
    def run(self, peer: Peer) -> Seen:
        return Seen()


class Worker:
    """One that counts, by plain words."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.counter = RevisionCounter(self.registry)

    def judge(self, revision: str, mails: int = 1, pipeline: str = "inbound") -> None:
        self.counter.serving(pipeline, revision)
        for _ in range(mails):
            self.counter.count(pipeline, revision, "pass")


def told(*tellers: list) -> dict[tuple[str, str], float]:
    """Of the page, by pipeline and revision, in its order."""
    return by_revision(merged(tellers))


def by_revision(told: list) -> dict[tuple[str, str], float]:
    (family,) = [family for family in told if family[0] == NAME]
    return {(labels["pipeline"], labels["revision"]): value for _, labels, value in family[3]}


def test_a_mail_is_counted_by_its_revision_and_what_was_done():
    walker = Walker(plan_of(uses("look"), look=Look))
    asyncio.run(walker.whole())
    (record,) = walker.records
    metrics = Metrics()
    metrics.serving([(record.pipeline, "law", record.revision)])
    metrics.decided(record)
    (family,) = [family for family in families(metrics.registry) if family[0] == NAME]
    labels = {"pipeline": record.pipeline, "revision": record.revision, "action": "pass"}
    assert family[3] == [[f"{NAME}_total", labels, 1]]


def test_older_revisions_are_folded_into_one():
    worker = Worker()
    for n in range(KEPT + 3):
        worker.judge(f"r{n}", mails=2)
    found = by_revision(families(worker.registry))
    assert found["inbound", EARLIER] == 6
    assert [revision for _, revision in found] == [EARLIER, *(f"r{n}" for n in range(3, KEPT + 3))]


def test_a_revision_that_serves_again_is_the_newest():
    worker = Worker()
    for n in range(KEPT):
        worker.judge(f"r{n}")
    worker.judge("r0")
    worker.judge("new")
    found = told(families(worker.registry))
    assert (found["inbound", "r0"], ("inbound", "r1") in found) == (2, False)


def test_a_mail_that_ends_on_a_forgotten_revision_is_an_earlier_one():
    worker = Worker()
    for n in range(KEPT + 1):
        worker.judge(f"r{n}")
    worker.counter.count("inbound", "r0", "pass")
    assert told(families(worker.registry))["inbound", EARLIER] == 2


def test_pipelines_do_not_crowd_each_other_out():
    worker = Worker()
    worker.judge("quiet", pipeline="outbound")
    for n in range(KEPT + 1):
        worker.judge(f"r{n}")
    assert told(families(worker.registry))["outbound", "quiet"] == 1


def test_what_gone_workers_counted_is_bounded_with_those_who_live():
    gone: list = []
    for n in range(3 * KEPT):
        worker = Worker()
        worker.judge(f"r{n}")
        gone = merged([gone, lasting(families(worker.registry))])
        assert len(told(gone)) <= KEPT + 1
    living, oldest = Worker(), f"r{2 * KEPT}"
    living.judge(oldest)  # a rollback: what is old by its count is new by its service
    living.judge("new")
    found = told(gone, families(living.registry))
    assert [*found][-2:] == [("inbound", oldest), ("inbound", "new")]
    assert found["inbound", oldest] == 2
    assert sum(found.values()) == 3 * KEPT + 2


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3 * KEPT)), max_size=80))
def test_no_mail_is_forgotten_and_no_page_grows(mails):
    workers = [Worker() for _ in range(3)]
    for who, revision in mails:
        workers[who].judge(f"r{revision}")
    pages = [families(worker.registry) for worker in workers]
    found = told(*pages)
    assert sum(found.values()) == len(mails)
    assert len(found) <= KEPT + 1
