"""The commands of DMARC reports: sent, read and understood, from the command line."""

from __future__ import annotations

import dataclasses
import datetime
import gzip
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dmarc_reports import PUBLISHED, SEEN, report

from millrace.engine.cli.dmarc import dmarc
from millrace.engine.errors import Misconfigured, Unavailable
from millrace.engine.mailauth.reports.aggregate import DAY_S
from millrace.engine.mailauth.reports.unpack import read
from millrace.engine.mailauth.reports.writer import to_xml
from millrace.engine.store.reports import ReportStore, key_of

TODAY = int(time.time() // DAY_S) + 1  # tomorrow, lest the tests run past midnight
BEFORE = TODAY - 3  # has ended, whatever the hour
DATE = (datetime.date(1970, 1, 1) + datetime.timedelta(BEFORE)).isoformat()
ZONE = {"_dmarc.b.example": {"TXT": ["v=DMARC1; p=reject; rua=mailto:r@b.example"]}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "millrace.toml").write_text('[reports]\naddress = "dmarc@receiver.example"\n')
    (tmp_path / "zone.json").write_text(json.dumps(ZONE))
    return tmp_path


def run(*arguments: str, stdin: bytes = b"") -> Result:
    """One command, and the exit status that `main` would give."""
    result = CliRunner().invoke(dmarc, arguments, input=stdin, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    result.exit_code = result.return_value or 0
    return result


def note(*days: int, domain: str = "b.example") -> None:
    store = ReportStore(Path("reports.db"))
    published = dataclasses.replace(PUBLISHED, domain=domain)
    seen = dataclasses.replace(SEEN, published=published)
    store.note({key_of(day, seen): 3 for day in days}, time.time())
    store.close()


# --- report


def test_files_are_written_for_the_days_that_have_ended(folder: Path) -> None:
    note(BEFORE, TODAY)
    first = run("report", "--to-dir", "out")
    (path,) = (folder / "out").iterdir()
    assert first.stdout == f"out/{path.name}\n"
    assert path.name.startswith(f"receiver.example!b.example!{BEFORE * DAY_S}!")
    assert [each.mails for each in read(path.read_bytes()).reports] == [3]
    content = path.read_bytes()
    run("report", "--to-dir", "out", "--day", DATE, "--domain", "B.example")
    assert path.read_bytes() == content


def test_hostile_domain_stays_in_its_folder(folder: Path) -> None:
    note(BEFORE, domain="x/../../../y.example")
    run("report", "--to-dir", "out")
    (path,) = (folder / "out").iterdir()
    assert "!x_.._.._.._y.example!" in path.name
    assert {each.name for each in folder.iterdir()} >= {"out", "zone.json"}


def test_days_and_domains_are_chosen() -> None:
    note(BEFORE - 3, BEFORE - 20, BEFORE)
    dry = ("report", "--dry-run", "--dns", "zone.json")
    assert len(run(*dry).stdout.splitlines()) == 2
    assert len(run(*dry, "--since", "2020-01-01").stdout.splitlines()) == 3
    assert len(run(*dry, "--day", DATE).stdout.splitlines()) == 1
    assert run(*dry, "--domain", "c.example").stdout == ""


def test_dry_run_says_what_would_be_sent() -> None:
    note(BEFORE)
    dry = ("report", "--dry-run", "--dns", "zone.json")
    result = run(*dry)
    assert result.stdout == f"{DATE}  b.example  3 mails to r@b.example: would send\n"
    assert result.stderr == "1 would send\n"
    data = json.loads(run(*dry, "--json").stdout)
    assert (data["day"], data["domain"], data["mails"], data["status"]) == (
        DATE, "b.example", 3, "would send",
    )  # fmt: skip


def test_relay_that_is_away_leaves_reports_for_the_next_run() -> None:
    note(BEFORE)
    result = run("report", "--dns", "zone.json", "--send", "127.0.0.1:1")
    assert result.exit_code == 3
    assert "to be sent again (" in result.stdout


def test_day_that_goes_on_is_refused() -> None:
    note(TODAY)
    tomorrow = (datetime.date(1970, 1, 1) + datetime.timedelta(TODAY + 1)).isoformat()
    with pytest.raises(Exception, match="has not ended"):
        run("report", "--dry-run", "--day", tomorrow)
    with pytest.raises(Exception, match="is no day"):
        run("report", "--dry-run", "--day", "yesterday")


def test_report_without_a_sender_or_a_relay_is_refused(folder: Path) -> None:
    note(BEFORE)
    with pytest.raises(Exception, match="say where to"):
        run("report")
    for address in ("", "nobody", "a b@c.example"):
        (folder / "millrace.toml").write_text(f'[reports]\naddress = "{address}"\n')
        with pytest.raises(Misconfigured, match=r"reports\.address"):
            run("report", "--dry-run")


def test_report_before_anything_was_noted_says_so() -> None:
    with pytest.raises(Unavailable, match="there is none yet"):
        run("report", "--dry-run")


# --- ingest


def test_files_are_read_once_and_named(folder: Path) -> None:
    (folder / "a.xml.gz").write_bytes(gzip.compress(to_xml(report())))
    line = "a.xml.gz: Receiver Inc. about b.example, 2025-11-22: 5 mails"
    assert run("ingest", "a.xml.gz").stdout == line + "\n"
    assert run("ingest", "a.xml.gz").stdout == line + " (known already)\n"
    again = run("ingest", "-", stdin=to_xml(report()))
    assert again.stdout == line.replace("a.xml.gz", "-") + " (known already)\n"


def test_what_is_no_report_is_named_and_what_is_broken_fails(folder: Path) -> None:
    (folder / "t.json").write_text('{"policies": []}')
    (folder / "x.txt").write_text("what\x1b[31m?")
    fine = run("ingest", "t.json")
    assert (fine.exit_code, fine.stdout) == (
        0, "t.json: not an aggregate report: a TLS report\n",
    )  # fmt: skip
    broken = run("ingest", "t.json", "x.txt", "gone.xml")
    assert broken.exit_code == 1
    assert broken.stdout.splitlines()[1:] == [
        "x.txt: cannot be read: it is neither a mail nor zip, gzip or XML",
        "gone.xml: cannot be read: it cannot be opened: No such file or directory",
    ]


def test_machines_read_one_object_for_each_file(folder: Path) -> None:
    (folder / "a.xml").write_bytes(to_xml(report()))
    data = json.loads(run("ingest", "a.xml", "--json").stdout)
    assert (data["kind"], data["new"], data["reports"][0]["mails"]) == ("aggregate", 1, 5)
    assert data["reports"][0]["passing"] == 3
    assert json.loads(run("ingest", "a.xml", "--json").stdout)["new"] == 0


def test_damaged_store_is_said_in_a_sentence(folder: Path) -> None:
    (folder / "reports.db").write_bytes(b"no database" * 999)
    (folder / "a.xml").write_bytes(to_xml(report()))
    for command in (("ingest", "a.xml"), ("advise", "b.example"), ("report", "--dry-run")):
        with pytest.raises(Unavailable, match="file is not a database"):
            run(*command)


# --- advise


def told(days: int = 20, mails: int = 60, policy: str = "quarantine") -> None:
    store = ReportStore(Path("reports.db"))
    row = dataclasses.replace(report().rows[0], count=mails)
    published = dataclasses.replace(PUBLISHED, policy=policy, subdomains="")
    for n in range(days):
        begin = (TODAY - n - 1) * DAY_S
        made = report(id=f"r{n}", begin=begin, end=begin + 86_399, rows=(row,), published=published)
        store.take(made, time.time())
    store.close()


def test_domain_that_passes_may_move_on() -> None:
    told()
    result = run("advise", "B.example.")
    assert result.exit_code == 0
    assert result.stdout.startswith("SAFE  b.example may move from p=quarantine to p=reject\n")
    assert "1,200 mails from 1 source in 20 days, told by 20 reports" in result.stdout
    record = (
        '_dmarc.b.example. 3600 IN TXT "v=DMARC1; p=reject; adkim=s; rua=mailto:dmarc@b.example"'
    )
    assert record in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines() if "TXT" not in line)


def test_domain_of_which_little_is_known_waits() -> None:
    told(days=3)
    result = run("advise", "b.example")
    assert result.exit_code == 1
    assert result.stdout.startswith("NOT YET  b.example should stay at p=quarantine\n")
    assert "3 days of reports are too few: 14 are wanted" in " ".join(result.stdout.split())


def test_what_this_server_saw_counts_too() -> None:
    note(BEFORE)
    data = json.loads(run("advise", "b.example", "--json").stdout)
    assert (data["mails"], data["safe"]) == (3, False)
    assert data["sources"][0]["reporters"] == ["(this server)"]
    assert data["record"].endswith('p=reject; sp=none; adkim=s; rua=mailto:r@b.example"')


def test_domain_that_nobody_told_of_is_said() -> None:
    told()
    assert "There is no report about c.example yet" in run("advise", "c.example").stdout
    assert run("advise", "c.example").exit_code == 1
    with pytest.raises(Exception, match="is no domain name"):
        run("advise", "example")
    with pytest.raises(Exception, match="a time such as"):
        run("advise", "b.example", "--since", "long")


def test_older_reports_are_pointed_at() -> None:
    store = ReportStore(Path("reports.db"))
    store.take(report(), time.time())
    store.close()
    found = run("advise", "b.example", "--since", "1d")
    assert "the last ends on 2025-11-22" in found.stdout
