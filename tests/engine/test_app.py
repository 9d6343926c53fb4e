"""One worker composed: doors on port 0, health, reload, and what it says of troubles."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from millrace.engine import settings as layers
from millrace.engine.app import App
from millrace.engine.errors import Misconfigured
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.reload import Reloaded
from millrace.engine.services import Health
from millrace.engine.store.reports import ReportStore
from millrace.engine.telemetry.merging import families, page

SETTINGS = """
profile = "production"
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "maildir:Maildir"
pipeline = "small"
[dns]
zone = "zone.json"
[log]
decisions = "decisions.jsonl"
"""
PIPELINE = """
policy = "own"
[[filter]]
use = "spf"
[[filter]]
use = "virus"
socket = "/nowhere/clamd.ctl"
"""
POLICY = """
[[rule]]
name = "bad"
when = "spf.result == 'fail'"
then = "reject"
"""
BARRED = "sender.domain in lists.barred"
MAIL = "From: a@b.example\r\nSubject: x\r\n\r\nhello\r\n.\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("pipelines", "policies"):
        (tmp_path / name).mkdir()
    (tmp_path / "millrace.toml").write_text(SETTINGS)
    (tmp_path / "pipelines" / "small.toml").write_text(PIPELINE)
    (tmp_path / "policies" / "own.toml").write_text(POLICY)
    (tmp_path / "zone.json").write_text(json.dumps({"no.example": {"TXT": ["v=spf1 -all"]}}))
    return tmp_path


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[App]:
    app = App(layers.load(folder / "millrace.toml"))
    await app.start()
    try:
        yield app
    finally:
        await app.stop(1)


def port(app: App, kind: str) -> int:
    return next(Endpoint.parse(d.listener.address).port for d in app.doors if d.kind == kind)


async def reload(app: App) -> Reloaded:
    """Both halves."""
    outcome = await app.prepare()
    return outcome if outcome is not None else app.commit()


async def send(app: App, sender: str) -> str:
    """One mail by hand; the last reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(app, "smtp"))
    await reader.readline()
    lines = ["HELO x.example", f"MAIL FROM:<{sender}>", "RCPT TO:<ann@c.example>", "DATA", MAIL]
    last = b""
    for line in lines:
        writer.write(line.encode() + (b"" if line is MAIL else b"\r\n"))
        last = await reader.readline()
        if last[:1] in b"45":
            break
    writer.close()
    await writer.wait_closed()
    return last.decode()


def test_a_mail_is_judged_delivered_and_recorded(folder: Path) -> None:
    async def go() -> list[str]:
        async with running(folder) as app:
            return [await send(app, "a@no.example"), await send(app, "a@b.example")]

    refused, taken = asyncio.run(go())
    assert refused.startswith("550 5.7.1")
    assert taken.startswith("250")
    assert len(list((folder / "Maildir" / "new").iterdir())) == 1
    records = [json.loads(line) for line in (folder / "decisions.jsonl").read_text().splitlines()]
    assert [record["action"] for record in records] == ["reject", "pass"]


def test_health_names_the_service_that_is_away_and_metrics_count_mails(folder: Path) -> None:
    async def go() -> tuple[list[Health], bytes]:
        async with running(folder) as app:
            await send(app, "a@b.example")
            return await app.health(), page(families(app.metrics.registry))

    healths, text = asyncio.run(go())
    assert [(health.name, bool(health.trouble)) for health in healths] == [("clamd", True)]
    assert b'millrace_mails_total{action="pass",pipeline="small"} 1.0' in text


def test_a_reload_swaps_a_good_policy_in_and_keeps_a_bad_one_out(folder: Path) -> None:
    policy = folder / "policies" / "own.toml"

    async def go() -> list[Any]:
        async with running(folder) as app:
            policy.write_text(POLICY.replace("'fail'", "'none'"))
            told = [await reload(app), await send(app, "a@b.example")]
            policy.write_text(POLICY.replace("'fail'", "'fial'"))
            return [*told, await reload(app), await send(app, "a@b.example")]

    swapped, refused_by_new, bad, still = asyncio.run(go())
    assert swapped.result == "swapped"
    assert refused_by_new.startswith("550")
    assert bad.result == "refused"
    assert "can never be 'fial'" in bad.problems[0]
    assert still.startswith("550")


def test_plans_that_were_prepared_wait_for_the_commit(folder: Path) -> None:
    async def go() -> tuple[str, str]:
        async with running(folder) as app:
            (folder / "policies" / "own.toml").write_text(POLICY.replace("'fail'", "'none'"))
            assert await app.prepare() is None
            before = await send(app, "a@b.example")
            app.commit()
            return before, await send(app, "a@b.example")

    before, after = asyncio.run(go())
    assert before.startswith("250")
    assert after.startswith("550")


def test_a_red_test_keeps_a_policy_out(folder: Path) -> None:
    case = '[[case]]\nname = "x"\ngiven = { spf = { result = "fail" } }\nexpect = "pass"\n'

    async def go() -> Reloaded:
        async with running(folder) as app:
            (folder / "policies" / "own.test.toml").write_text(case)
            return await reload(app)

    outcome = asyncio.run(go())
    assert outcome.result == "refused"
    assert "expected pass, got reject by rule bad" in outcome.problems[0]


def test_a_filter_that_cannot_answer_is_named_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("millrace").propagate = True

    async def go() -> None:
        async with running(folder) as app:
            for _ in range(3):
                await send(app, "a@b.example")

    with caplog.at_level(logging.WARNING, "millrace"):
        asyncio.run(go())
    told = [r.getMessage() for r in caplog.records if "cannot answer" in r.getMessage()]
    assert told == ["virus cannot answer: clamd /nowhere/clamd.ctl: No such file or directory"]


def test_without_a_listener_there_is_nothing_to_serve(folder: Path) -> None:
    (folder / "millrace.toml").write_text('profile = "production"\n')

    async def go() -> None:
        async with running(folder):
            pass

    with pytest.raises(Misconfigured, match="nothing to serve"):
        asyncio.run(go())


def test_a_door_that_cannot_open_closes_the_others(folder: Path) -> None:
    door = '[[listener]]\nkind = "smtp"\naddress = "inet:0@127.0.0.1"\ndeliver = "nowhere"\n'
    text = SETTINGS.replace(
        "[dns]", door.replace("deliver", 'pipeline = "small"\ndeliver') + "[dns]"
    )
    (folder / "millrace.toml").write_text(text)
    app = App(layers.load(folder / "millrace.toml"))

    async def go() -> None:
        await app.start()

    with pytest.raises(Misconfigured, match="no next hop"):
        asyncio.run(go())
    assert app.doors == []


# --- notes for DMARC reports

DMARC = """
[[filter]]
use = "spf"
[[filter]]
use = "dkim"
[[filter]]
use = "dmarc"
"""


def asked_for_reports(folder: Path) -> None:
    """The author's domain asks for reports, and the pipeline looks at DMARC."""
    (folder / "pipelines" / "small.toml").write_text(f'policy = "own"\n{DMARC}')
    record = "v=DMARC1; p=none; rua=mailto:r@b.example"
    zone = {"_dmarc.b.example": {"TXT": [record]}, "no.example": {"TXT": ["v=spf1 -all"]}}
    (folder / "zone.json").write_text(json.dumps(zone))


def sent_two(folder: Path) -> None:
    async def go() -> None:
        async with running(folder) as app:
            for _ in range(2):
                assert (await send(app, "a@b.example")).startswith("250")

    asyncio.run(go())


def test_mail_is_noted_for_the_domain_that_asks_for_reports(folder: Path) -> None:
    asked_for_reports(folder)
    sent_two(folder)
    store = ReportStore(folder / "reports.db", create=False)
    ((day, domain),) = store.days()
    ((seen,), lost) = store.seen(day, domain)
    store.close()
    assert (domain, seen.count, lost) == ("b.example", 2, 0)
    assert seen.observation.row.source_ip == "127.0.0.1"


def test_nothing_is_noted_when_it_is_turned_off(folder: Path) -> None:
    asked_for_reports(folder)
    (folder / "millrace.toml").write_text(SETTINGS + "[reports]\nobserve = false\n")
    sent_two(folder)
    assert not (folder / "reports.db").exists()


def test_store_of_reports_that_is_damaged_stops_no_mail_and_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked_for_reports(folder)
    (folder / "reports.db").write_bytes(b"no database" * 999)

    async def go() -> dict[str, str]:
        async with running(folder) as app:
            assert (await send(app, "a@b.example")).startswith("250")
            noting = app._noting
            assert noting is not None
            noting.flush()
            assert noting._writing is not None
            await noting._writing
            return {health.name: health.trouble for health in await app.health()}

    told = asyncio.run(go())
    assert "not a database" in told["reports"]
    assert "mails are not noted for reports" in caplog.text


def test_list_that_changes_is_in_force_without_a_reload(folder: Path) -> None:
    lists = folder / "policies" / "lists"
    lists.mkdir()
    (lists / "barred.domains").write_text("other.example\n")
    (folder / "policies" / "own.toml").write_text(POLICY.replace("spf.result == 'fail'", BARRED))
    (folder / "millrace.toml").write_text(SETTINGS + '[lists]\npoll = "10ms"\n')

    async def go() -> tuple[str, str, str]:
        async with running(folder) as app:
            watching = asyncio.create_task(app.watch_lists())
            before = await send(app, "a@b.example")
            (lists / "barred.domains").write_text("b.example\n.c.example\n")
            async with asyncio.timeout(10):
                while app.report()["lists"][0]["entries"] != 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            after = await send(app, "a@b.example")
            watching.cancel()
            return before, after, page(families(app.metrics.registry)).decode()

    before, after, metrics = asyncio.run(go())
    assert before.startswith("250")
    assert after.startswith("550")
    assert 'millrace_list_entries_state{list="barred"} 2.0' in metrics
    assert 'millrace_list_loads_total{list="barred",result="loaded"} 2.0' in metrics
    assert 'millrace_list_trouble_state{list="barred"} 0.0' in metrics
