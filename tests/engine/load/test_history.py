"""Runs that are kept and compared, and what people read of them."""

from __future__ import annotations

import json

import pytest

from millrace.engine.errors import Misconfigured, Unavailable
from millrace.engine.load import history, report
from millrace.engine.load.history import Run
from millrace.engine.load.timing import Outcome, Rate


def run(kind: str = "milter at 10/s", *, time: str = "2026-11-24T10:00", ms: float = 5.0) -> Run:
    outcome = Outcome(seconds=2.0, busy=0.3)
    for n in range(20):
        outcome.since_due.add(ms / 1000 * (1 + n / 10))
        outcome.since_sent.add(ms / 1000)
    outcome.verdicts["accept"] = 20
    return Run(time, kind, "inet:1@127.0.0.1", outcome)


def test_a_run_that_was_kept_is_read_again(tmp_path):
    history.keep(tmp_path / "h", run())
    assert history.last(tmp_path / "h", "milter at 10/s") == run()


def test_the_last_run_of_the_same_kind_is_compared_with(tmp_path):
    for one in (run(time="1"), run(time="2"), run("smtp, 10 at once", time="3")):
        history.keep(tmp_path / "h", one)
    assert history.last(tmp_path / "h", "milter at 10/s").time == "2"
    assert history.last(tmp_path / "h", "milter at 11/s") is None


def test_a_line_for_machines_has_the_quantiles(tmp_path):
    history.keep(tmp_path / "h", run())
    kept = json.loads((tmp_path / "h").read_text())
    assert kept["per_second"] == 10.0
    assert kept["ms"]["p50"] == pytest.approx(9.5, rel=0.02)


@pytest.mark.parametrize("text", ["{", "[]", '{"time": 1}', "3"])
def test_a_file_that_holds_no_runs_is_said(tmp_path, text):
    (tmp_path / "h").write_text(text)
    with pytest.raises(Misconfigured, match="no history"):
        history.last(tmp_path / "h", "x")


def test_a_history_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(Unavailable, match="directory"):
        history.keep(tmp_path, run())


def test_the_table_shows_the_change_since_the_earlier_run():
    lines = "\n".join(report.told(run(ms=10.0), Rate(10, 1.0, 2.0), run(ms=5.0)))
    assert "+100 %" in lines
    assert "of 10.0/s asked for" in lines


def test_a_client_that_was_the_limit_is_said():
    one = run()
    one.outcome.busy = 0.95
    assert "The client was the limit" in "\n".join(report.told(one, None, None))
    assert "The client was" not in "\n".join(report.told(run(), None, None))


def test_mails_without_room_and_errors_are_said():
    one = run()
    one.outcome.unsent, one.outcome.errors["hung up"] = 7, 2
    lines = "\n".join(report.told(one, None, None))
    assert "not sent      7" in lines
    assert "hung up" in lines
