"""`millrace load` against our own milter door, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import milter_mta
import pytest
from click.testing import CliRunner, Result

from millrace.engine.cli.load import load
from millrace.engine.errors import Unavailable


@pytest.fixture(scope="module")
def door() -> Iterator[str]:
    with milter_mta.opened("native", "hushed") as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(20) == 0


def run(*arguments: str) -> Result:
    return CliRunner().invoke(load, arguments, standalone_mode=False)


def test_a_closed_loop_gets_a_verdict_for_each_mail(door):
    done = run("milter", door, "--count", "30", "--at-once", "3", "--json")
    found = json.loads(done.stdout)
    assert done.return_value == 0
    assert found["verdicts"] == {"accept": 30}
    assert found["ms"]["p50"] <= found["ms"]["max"]


def test_an_open_loop_sends_at_its_rate_and_is_compared_with_the_last(door, tmp_path):
    kept = str(tmp_path / "history")
    paced = ("milter", door, "--rate", "100/s", "--for", "0.4s")
    assert run(*paced, "--history", kept).return_value == 0
    done = run(*paced, "--against", kept)
    assert "40 answered" in done.stdout
    assert "of 100.0/s asked for" in done.stdout
    assert "change" in done.stdout


def test_a_history_that_cannot_be_written_costs_nobody_the_figures(door, tmp_path):
    done = run("milter", door, "--count", "5", "--history", str(tmp_path / "none" / "history"))
    assert "5 answered" in done.stdout
    assert isinstance(done.exception, Unavailable)


def test_two_processes_send_as_one(door):
    done = run("milter", door, "--count", "20", "--clients", "2", "--json")
    assert json.loads(done.stdout)["answered"] == 20


def test_idle_connections_are_held_meanwhile(door):
    done = run("milter", door, "--idle", "50", "--active", "2", "--count", "5")
    assert "idle: 50 of 50 held" in done.stdout
    assert done.return_value == 0


def test_a_server_of_another_protocol_is_an_error_and_the_answer_no(door):
    done = run("smtp", door, "--count", "1", "--patience", "0.2s", "--json")
    assert done.return_value == 1
    assert json.loads(done.stdout)["errors"] == {"silent for 0.2 s": 1}


@pytest.mark.parametrize(
    "wrong", [("--rate", "fast"), ("--for", "0s"), ("--rate", "0/s"), ("--at-once", "0")]
)
def test_what_is_no_rate_or_time_is_refused(wrong):
    done = run("milter", "inet:1@127.0.0.1", *wrong)
    assert done.exception is not None
    assert "Bad" in type(done.exception).__name__


def test_nobody_at_home_is_a_service_that_is_away():
    done = run("milter", "unix:/nowhere/milter.sock", "--count", "1")
    assert isinstance(done.exception, Unavailable)
