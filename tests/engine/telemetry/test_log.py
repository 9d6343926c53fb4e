"""The log: a line a mail, and no stranger can write a line of his own."""

import asyncio
import io
import json
import logging

import pytest
from fakes import Walker, plan_of

from millrace.engine.telemetry.log import clean, log_decision, set_up


@pytest.fixture
def out():
    stream = io.StringIO()
    root = logging.getLogger("millrace")
    before = root.handlers[:], root.level, root.propagate
    yield stream
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])


def record(sender="a@b.example"):
    walker = Walker(plan_of(""))

    async def walk():
        await walker.greet(helo="mx\nevil")
        await walker.begin(sender)
        for n in range(5):
            await walker.to(f"r{n}@example.net")
        await walker.content()

    asyncio.run(walk())
    return walker.records[0]


def test_json_line_holds_the_mail_s_data(out):
    set_up("json", "info", out)
    judged = record()
    log_decision(judged)
    (line,) = out.getvalue().splitlines()
    data = json.loads(line)
    assert data["revision"] == judged.revision != ""
    assert data["event"] == "mail"
    assert (data["action"], data["sender"], data["ip"]) == ("pass", "a@b.example", "192.0.2.7")
    assert data["recipients"] == [f"r{n}@example.net" for n in range(5)]
    assert data["helo"] == "mx\nevil"


def test_text_line_tells_people_what_was_done(out):
    set_up("text", "info", out)
    log_decision(record())
    (line,) = out.getvalue().splitlines()
    assert "accept" in line
    assert "a@b.example → r0@example.net" in line
    assert "and 2 more" in line


def test_strangers_write_no_line_of_their_own(out):
    set_up("text", "info", out)
    logging.getLogger("millrace.x").info("said %s", "evil\r\n12:00:00 accept\x1b[31m")
    assert len(out.getvalue().splitlines()) == 1
    assert "\x1b" not in out.getvalue()
    assert clean("a\u2028b\0") == "a?b?"


def test_level_and_form_are_what_was_asked(out):
    set_up("auto", "warning", out)  # no terminal: JSON
    log_decision(record())
    logging.getLogger("millrace.x").warning("careful")
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["message"] == "careful"


@pytest.mark.parametrize("form", ["json", "text"])
def test_octets_that_are_no_text_stop_no_line(out, form):
    set_up(form, "info", out)
    log_decision(record('"x\udcff"@b.example'))
    (line,) = out.getvalue().splitlines()
    assert "b.example" in line
    assert line.encode()  # any terminal and file can take it
