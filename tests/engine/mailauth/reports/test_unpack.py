"""Every file that other programs' tests read, and archives that want to do harm."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import struct
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from dmarc_reports import ROW, report
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suites import Suites, departures

from millrace.engine.mailauth.reports.aggregate import Counted, Report
from millrace.engine.mailauth.reports.unpack import KINDS, UNPACKED_MAX, Reading, read
from millrace.engine.mailauth.reports.writer import to_gzip, to_xml

XML = to_xml(report())
DEPARTURES = Path(__file__).with_name("departures.toml")
# (mails, rows, organization, domain) as their own projects' tests have them, or counted by eye
WANTED = {
    "mail-auth-dmarc-feedback-003.xml": (9, 4, "Fastmail Pty Ltd", "stalw.art"),
    "mail-auth-dmarc-feedback-004.xml": (123, 1, "Sample Reporter", "example.com"),
    "mail-auth-dmarc-feedback-103.eml": (1, 1, "Outlook.com", "stalw.art"),
    "mail-auth-dmarc-feedback-104.eml": (1, 1, "AMAZON-SES", "stalw.art"),
    "mox-dmarc-reports-google.eml": (5, 2, "google.com", "ueber.net"),
    "mox-dmarc-reports-mailru.eml": (1, 1, "Mail.Ru", "ueber.net"),
    "mox-dmarc-reports-xs4all.eml": (1, 1, "xs4all.nl", "ueber.net"),
    "parsedmarc-aggregate-estadocuenta1.infonacot.gob.mx!example.com!1536853302!1536939702!2940"
    ".xml.zip": (1, 1, "XYZ Corporation", "example.com"),
    "parsedmarc-aggregate-example.net!example.com!1529366400!1529452799.xml": (
        1, 1, "example.net", "example.com",
    ),
    "parsedmarc-aggregate-ikea.com!example.de!1538690400!1538776800.xml": (
        1, 1, "ikea.com", "example.de",
    ),
    "parsedmarc-aggregate-mimecast-weird-gzip.eml": (1, 1, "Mimecast", "ab.id.au"),
    "parsedmarc-aggregate-old_draft_from_wiki.xml": (2, 1, "acme.com", "example.com"),
    "parsedmarc-aggregate-protection.outlook.com!example.com!1711756800!1711843200.xml": (
        1, 1, "Outlook.com", "example.com",
    ),
    "parsedmarc-aggregate-rfc9990-example.net!example.com!1700000000!1700086399.xml": (
        7, 2, "example.net", "example.com",
    ),
    "parsedmarc-aggregate-rfc9990-sample.xml": (123, 1, "Sample Reporter", "example.com"),
    "parsedmarc-aggregate-twilight.eml": (1, 1, "google.com", "twlnet.com"),
    "parsedmarc-aggregate-usssa.com!example.com!1538784000!1538870399.xml": (
        2, 2, "usssa.com", "example.com",
    ),
    "parsedmarc-aggregate-veeam.com!example.com!1530133200!1530219600.xml": (
        1, 1, "veeam.com", "example.com",
    ),
    "parsedmarc-extract_report-nice-input.xml": (3047, 20, "google.com", "example.com"),
}  # fmt: skip


def files(shared: Path) -> list[Path]:
    folder = shared / "dmarc" / "reports"
    lines = (folder / "index.tsv").read_text().splitlines()[1:]
    return [folder / line.split("\t")[0] for line in lines]


def one(data: bytes) -> Report:
    found = read(data)
    assert found.kind == "aggregate", found.why
    assert len(found.reports) == 1
    return found.reports[0]


# --- the published files


def wanted(name: str) -> tuple[str, Any]:
    """What a published file should give: its kind, and of an aggregate report its figures."""
    if name in WANTED:
        return "aggregate", WANTED[name]
    if "invalid" in name:
        return "unreadable", None
    if "tls" in name:
        return "tls", None
    if name.endswith(".json"):
        return "unreadable", None  # what another program made of the file beside it
    return ("failure" if "arf" in name or "failure" in name else "aggregate"), None


def found(path: Path) -> tuple[str, Any]:
    """What it gives; the figures where they are known."""
    reading = read(path.read_bytes())
    assert reading.why or len(reading.reports) == 1
    if path.name not in WANTED:
        return reading.kind, None
    got = reading.reports[0]
    return reading.kind, (got.mails, len(got.rows), got.organization, got.published.domain)


@pytest.mark.data
def test_every_published_file_is_read_or_named(shared_data: Path, suites: Suites) -> None:
    name, paths = "DMARC reports, parsedmarc, mail-auth and mox", files(shared_data)
    pairs = [(path.name, found(path), wanted(path.name)) for path in paths]
    wrong = {case: f"{is_}, not {should}" for case, is_, should in pairs if is_ != should}
    assert len(paths) == 45
    suites.hold(name, len(paths), wrong, departures(DEPARTURES, name))


@pytest.mark.data
def test_octets_that_are_no_text_are_replaced_in_the_published_file(shared_data: Path) -> None:
    path = shared_data / "dmarc" / "reports" / "parsedmarc-aggregate-invalid_utf_8.xml"
    got = one(path.read_bytes())
    assert (got.mails, got.rows[0].row.header_from) == (1, "bad_byte\ufffd")


@pytest.mark.data
def test_readings_agree_with_the_data_beside_them(shared_data: Path) -> None:
    compared = 0
    for path in files(shared_data):
        data = path.with_suffix(".json")
        if "feedback" not in path.name or path.suffix == ".json" or not data.exists():
            continue
        got, wanted = one(path.read_bytes()), json.loads(data.read_text())
        metadata, policy = wanted["report_metadata"], wanted["policy_published"]
        assert got.organization == metadata["org_name"], path.name
        assert (got.id, got.email) == (metadata["report_id"], metadata["email"])
        assert (got.begin, got.end) == tuple(metadata["date_range"].values())
        assert (got.published.domain, got.published.policy) == (
            policy["domain"],
            policy["p"].lower(),
        )
        rows = sorted((c.row.source_ip, c.count, c.row.dkim, c.row.spf) for c in got.rows)
        assert rows == sorted(expected(entry["row"]) for entry in wanted["record"])
        compared += 1
    assert compared >= 4


def expected(row: dict) -> tuple[str, int, str, str]:
    evaluated = row["policy_evaluated"]
    return row["source_ip"], row["count"], evaluated["dkim"].lower(), evaluated["spf"].lower()


# --- ways to pack one


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def mailed(content: bytes, kind: str = "application/gzip", name: str = "r.xml.gz") -> bytes:
    head = f'From: a@b.example\r\nContent-Type: {kind}; name="{name}"\r\n'
    return (head + "Content-Transfer-Encoding: base64\r\n\r\n").encode() + base64.encodebytes(
        content
    )


@pytest.mark.parametrize(
    "data",
    [
        XML,
        b"\xef\xbb\xbf" + XML,
        b"\r\n " + XML,
        XML.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        gzip.compress(XML),
        gzip.compress(XML[:500]) + gzip.compress(XML[500:]),
        gzip.compress(XML) + b"\0" * 300,
        zipped(("r.xml", XML)),
        zipped(("r.xml.gz", gzip.compress(XML)), method=zipfile.ZIP_STORED),
        mailed(gzip.compress(XML)),
        mailed(zipped(("r.xml", XML)), "application/octet-stream", "noname"),
        mailed(XML, "text/xml", ""),
        b"From mailer Mon Nov 24 00:00:00 2025\n" + mailed(XML, "text/plain", "r.xml"),
        gzip.compress(mailed(gzip.compress(XML))),
    ],
    ids=lambda data: data[:4].hex(),
)
def test_one_report_is_found_however_it_is_packed(data: bytes) -> None:
    assert one(data).mails == 5


def test_two_reports_of_one_archive_are_both_read() -> None:
    other = to_xml(report(id="other"))
    found = read(zipped(("a.xml", XML), ("b.xml", other), ("readme.txt", b"hello there")))
    assert [each.id for each in found.reports] == ["20251122abcdef", "other"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"\0\0\0", "it is empty"),
        (b"hello world", "it is neither a mail nor zip, gzip or XML"),
        (b"<html><body>hi</body></html>", "it is XML, but its root is 'html', not 'feedback'"),
        (b'{"a": 1}', "it is JSON, but no report"),
        (b"\x1f\x8b\x08\x00", "its XML is broken"),
        (b"\x1f\x8bhello there", "its gzip is broken"),
        (gzip.compress(b"hello"), "it is neither a mail nor"),
        (b"PK\x03\x04hello", "its zip is broken: it has no end"),
        (zipped(("r.xml", XML), method=zipfile.ZIP_BZIP2), "its zip is packed by method 12"),
        (zipped(("r.xml", XML), method=zipfile.ZIP_LZMA), "its zip is packed by method 14"),
        (zipped(*((f"{n}.xml", XML) for n in range(21))), "its zip holds 21 files"),
        (zipped(*((f"{n:0200}", b"") for n in range(300))), "its zip lists too many files"),
        (mailed(b"\x1f\x8bhello"), "its gzip is broken"),
    ],
)
def test_what_is_no_report_is_said_in_a_sentence(data: bytes, why: str) -> None:
    found = read(data)
    assert (found.kind, found.reports) == ("unreadable", ())
    if data[:4] != b"\x1f\x8b\x08\x00" or len(data) > 4:
        assert found.why.startswith(why)


def test_mail_without_any_report_is_called_so() -> None:
    found = read(b"From: a@b.example\r\nSubject: hello\r\n\r\nhow are you\r\n")
    assert found == Reading("other", (), "not an aggregate report: no report is in it")


def test_encrypted_zip_is_refused_without_opening() -> None:
    data = bytearray(zipped(("r.xml", XML)))
    at = data.rfind(b"PK\x01\x02")
    data[at + 8] |= 1
    assert read(bytes(data)).why == "its zip is encrypted"


def test_zip_that_claims_zip64_is_refused_before_its_directory_is_read() -> None:
    data = zipped(("r.xml", XML))
    at = data.rfind(b"PK\x05\x06")
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 1)
    assert "larger than any report" in read(data[:at] + locator + data[at:]).why


# --- bombs


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = b"\0" * (1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(size >> 20)) + packer.flush()


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: zipped(("b.gz", b))])
def test_gzip_bomb_stops_at_the_bound_in_memory_and_time(wrap) -> None:
    data = wrap(bomb(64 << 20))
    tracemalloc.start()
    began = time.process_time()
    found = read(data)
    spent, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.why == "it unpacks to more than 32 MiB"
    assert peak < 3 * UNPACKED_MAX
    assert spent < 2


def test_many_members_together_are_bounded_too() -> None:
    part = zipped(*((f"{n}.xml", b" " * (4 << 20)) for n in range(12)))
    assert read(part).kind == "unreadable"


def test_packing_over_and_over_ends() -> None:
    data = XML
    for _ in range(8):
        data = gzip.compress(data)
    assert read(data).why == "it is packed over and over"


def test_zip_whose_members_overlap_is_bounded() -> None:
    inner = zipped(("a.xml", b"<feedback>" + b" " * (8 << 20)))
    start = inner.rfind(b"PK\x01\x02")
    end = inner.rfind(b"PK\x05\x06")
    entry = inner[start:end]
    count = 15
    tail = bytearray(inner[end:])
    tail[8:12] = struct.pack("<HH", count, count)
    tail[12:16] = struct.pack("<L", len(entry) * count)
    began = time.process_time()
    assert read(inner[:start] + entry * count + bytes(tail)).kind == "unreadable"
    assert time.process_time() - began < 2


# --- mutations

SMALL = to_xml(report(rows=(Counted(ROW, 3),)))
SEEDS = {
    "xml": SMALL,
    "gz": to_gzip(SMALL),
    "zip": zipped(("r.xml", SMALL)),
    "eml": mailed(to_gzip(SMALL)),
}
# fmt: off
TOKENS = (b"<", b">", b"&", b"]]>", b"<!DOCTYPE a>", b"PK\x05\x06", b"\xff\xff\xff\xff", b"\0",
          b"</record>", b"<record>", b"xmlns=''", b"\r\n\r\n", b"--", b"\x1f\x8b", b"&#0;")
# fmt: on


def mutated(data: bytes, seed: int) -> bytes:
    chance = random.Random(seed)
    made = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(5):
            case 0:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del made[at : at + chance.randrange(1, 40)]
            case 2:
                made[at:at] = chance.choice(TOKENS)
            case 3:
                made[at:at] = made[at : at + chance.randrange(200)]
            case _:
                made[at : at + 4] = struct.pack("<L", chance.choice([0, 1, 2**31, 2**32 - 1]))
    return bytes(made)


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=500, deadline=1_000, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**48))
def test_any_mutation_is_read_or_refused_in_bounded_time(kind: str, seed: int) -> None:
    for each in range(seed, seed + 5):  # 10,000 in all
        found = read(mutated(SEEDS[kind], each))
        assert found.kind in KINDS, each
        assert bool(found.reports) == (found.kind == "aggregate"), each
        assert found.reports or 0 < len(found.why) < 300, each


def test_report_of_many_rows_is_read_in_bounded_time() -> None:
    rows = tuple(
        Counted(type(ROW)(f"192.0.{n >> 8}.{n & 255}", "none", "pass", "pass", "b.example"), 1)
        for n in range(3_000)
    )
    data = to_gzip(to_xml(report(rows=rows)))
    began = time.process_time()
    assert one(data).mails == 3_000
    assert time.process_time() - began < 3
