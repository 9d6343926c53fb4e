"""What a daemon has counted, read from the page that our own metrics make."""

import asyncio
import http.server
import threading

import pytest
from click.testing import CliRunner
from prometheus_client import generate_latest

from millrace.engine import plans
from millrace.engine.cli.drawing import live
from millrace.engine.cli.graph import graph
from millrace.engine.errors import Unavailable
from millrace.engine.rehearsal import Case, Theatre
from millrace.engine.settings import Settings
from millrace.engine.telemetry.metrics import Metrics

PLAN = plans.load_plan(Settings(), "inbound")
MAIL = b"From: a@a.example\r\nTo: b@b.example\r\nSubject: hi\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def counted() -> str:
    """The page after two mails from a peer that SPF and DMARC disown."""
    world = {
        "a.example": {"TXT": ["v=spf1 -all"]},
        "_dmarc.a.example": {"TXT": ["v=DMARC1; p=reject"]},
    }
    case = Case(MAIL, "192.0.2.7", "mx", "a@a.example", (), now=1.8e9, dns=world)

    async def rehearsed():
        theatre = Theatre(Settings(), PLAN)
        return [(await theatre.rehearse(case)).decision for _ in range(2)]

    metrics = Metrics()
    for decision in asyncio.run(rehearsed()):
        metrics.decided(decision)
    metrics.serving([("inbound", "default", PLAN.revision), ("other", "default", "x")])
    return generate_latest(metrics.registry).decode()


def test_own_metrics_give_runs_times_and_hits(counted):
    seen = live.read(counted, "inbound")
    assert (seen.revision, seen.mails, seen.rules) == (PLAN.revision, 2, {"dmarc": 2})
    spf = seen.filters["spf"]
    assert (spf.states["ran"], spf.count) == (2, 2)
    assert spf.seconds > 0
    assert spf.within <= 20


def test_counts_of_another_pipeline_are_not_ours(counted):
    seen = live.read(counted, "other")
    assert (seen.revision, seen.mails, seen.rules) == ("x", 0, {})


def test_most_runs_beyond_the_last_bucket_are_said_to_be_long():
    seen = live.Seen({"ran": 10}, 300.0, 10, [(20.0, 2), (float("inf"), 10)])
    assert seen.words == ("10 runs", "30 s each", "95% within more than 20 s")


@pytest.fixture
def daemon(counted):
    """An HTTP listener that answers every path with the page; gives its address."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(counted.encode())

        def log_message(self, *words):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"inet:{server.server_port}@127.0.0.1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_live_picture_shows_what_the_daemon_counted(daemon):
    told = CliRunner().invoke(graph, ["--live", "--at", daemon, "--format", "svg"])
    assert told.exit_code == 0
    assert "dmarc → reject · 2 mails" in told.stdout
    assert told.stderr == ""


def test_live_picture_of_other_files_says_so(daemon):
    told = CliRunner().invoke(graph, ["--live", "--at", daemon, "--policy", "strict"])
    assert told.stderr.startswith("the files make revision ")
    assert told.stderr.endswith(f"the daemon serves revision {PLAN.revision}\n")


def test_daemon_that_is_away_is_told_with_its_address():
    arguments = ["--live", "--at", "inet:1@127.0.0.1"]
    told = CliRunner().invoke(graph, arguments)
    assert isinstance(told.exception, Unavailable)
    assert told.exception.what == "millrace at inet:1@127.0.0.1"
