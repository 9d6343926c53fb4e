"""`millrace load` beside real parties: through Postfix with our milter, and at our SMTP door."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import wait_for
from live.parties import Millrace, Postfix, Sink

from millrace.engine.cli.load import load

SETTINGS = """
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "maildir:Maildir"
trusted = ["127.0.0.1"]
[http]
address = ""
[dns]
zone = "zone.json"
[log]
decisions = "decisions.jsonl"
"""


@pytest.fixture
def millrace(tmp_path: Path) -> Iterator[Millrace]:
    files = {"pipelines__inbound_toml": '[[filter]]\nuse = "stamp"\n'}
    (tmp_path / "zone.json").write_text("{}")
    daemon = Millrace(tmp_path, SETTINGS, **files).start()
    yield daemon
    daemon.stop()


def run(*arguments: str) -> dict:
    done = CliRunner().invoke(load, [*arguments, "--json"], standalone_mode=False)
    assert done.return_value == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.live
@pytest.mark.usefixtures("root")
def test_mails_brought_to_postfix_are_told_to_our_milter(new_folder, millrace):
    folder = new_folder("load")
    sink = Sink(folder / "sink").start()
    where = f"inet:127.0.0.1:{millrace.port('milter')}"
    postfix = Postfix(folder / "postfix", where, sink)
    try:
        postfix.start()
        found = run("smtp", f"inet:{postfix.port}@127.0.0.1", "--count", "20", "--at-once", "4")
    finally:
        postfix.stop()
        sink.stop()
    wait_for(lambda: len(millrace.decisions()) == 20, "the records")
    assert found["verdicts"] == {"accept": 20}
    # XCLIENT: each mail's own address was seen, not the client's
    assert len({record["session"]["ip"] for record in millrace.decisions()}) == 20


@pytest.mark.live
def test_mails_brought_to_our_door_arrive_at_their_rate(tmp_path, millrace):
    where = f"inet:{millrace.port('smtp')}@127.0.0.1"
    began = time.monotonic()
    found = run("smtp", where, "--rate", "40/s", "--for", "1s")
    assert time.monotonic() - began > 0.9
    assert found["verdicts"] == {"accept": 40}
    assert len(list((tmp_path / "Maildir").rglob("new/*"))) == 40
