"""Beside a real Postfix: every edit and every verdict, as the MTA carries them out."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live.certificates import certificate
from live.odd_filters import LONG_BODY
from live.parties import Sunk, header, impersonate, send, session, settle
from live.sites import ARCHIVE, GOOD, ODD, Site, decided, engine, mail, without_trace

ANN, BOB = "ann@rcpt.example", "bob@rcpt.example"


@pytest.fixture(scope="module")
def site(root: None, new_folder: Callable[[str], Path]) -> Iterator[Site]:
    folder = new_folder("edits")
    cert, key = certificate(folder)
    more = f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {cert}\n"
    more += f"smtpd_tls_key_file = {key}\nmessage_size_limit = 60000000\n"
    made = Site(engine(folder / "here", ODD + ARCHIVE, policy="empty").start(), more=more)
    yield made
    made.close()


def sent(site: Site, subject: str, do: str, *recipients: str, more: str = "") -> Sunk:
    """Send a mail that asks for something; what came out of Postfix."""
    raw = mail(subject, do, more=more)
    send(site.port, raw, f"{subject}@good.example", *(recipients or (ANN,)), ip=GOOD)
    return site.arrived(subject)


def record(site: Site, sender: str) -> dict[str, Any]:
    """The decision on the one mail of that sender."""
    return decided(site.millrace, lambda each: each["from"] == sender)


def held(site: Site) -> list[dict[str, Any]]:
    return [entry for entry in site.postfix.queue() if entry["queue_name"] == "hold"]


def fields(raw: bytes) -> list[str]:
    """Names of the fields, in order."""
    head = raw.partition(b"\r\n\r\n")[0].decode()
    return [line.partition(":")[0] for line in head.split("\r\n") if line[:1] not in (" ", "\t")]


# --- header and body


def test_inserted_fields_stand_where_they_were_put(site: Site) -> None:
    raw = without_trace(sent(site, "inserts", "insert, add").raw)
    assert header(raw, "X-Inserted") == ["on top"]
    assert fields(raw)[0] == "X-Inserted"
    assert fields(raw)[-1] == "X-Added"


def test_a_folded_value_arrives_folded_and_a_plain_one_after_one_space(site: Site) -> None:
    raw = sent(site, "folded", "add-folded, add-plain").raw
    assert b"\r\nX-Folded: one\r\n\ttwo\r\n" in raw
    assert b"\r\nX-Plain: yes\r\n" in raw


def test_a_field_is_changed_in_its_place(site: Site) -> None:
    raw = sent(site, "changed", "change", more="X-Old: old words\r\nX-After: x\r\n").raw
    assert header(raw, "X-Old") == ["new words"]
    assert fields(raw).index("X-Old") == fields(raw).index("X-After") - 1


def test_a_field_that_is_not_there_is_made_by_a_change(site: Site) -> None:
    assert header(sent(site, "absent", "change-absent").raw, "X-Absent") == ["made"]


def test_only_the_numbered_field_of_a_name_is_deleted(site: Site) -> None:
    raw = sent(site, "deleted", "delete", more="X-Twice: 1\r\nX-Twice: 2\r\n").raw
    assert header(raw, "X-Twice") == ["2"]


def test_both_fields_of_a_name_are_deleted_though_numbers_move(site: Site) -> None:
    raw = sent(site, "none-left", "delete, delete-both", more="X-Twice: 1\r\nX-Twice: 2\r\n").raw
    assert header(raw, "X-Twice") == []


def test_a_deletion_and_a_change_count_fields_as_they_came(site: Site) -> None:
    more = "X-Twice: 1\r\nX-Twice: 2\r\nX-Twice: 3\r\n"
    raw = sent(site, "mixed", "delete, change-second", more=more).raw
    assert header(raw, "X-Twice") == ["changed", "3"]


def test_a_body_is_replaced_by_a_short_and_by_a_long_one(site: Site) -> None:
    short, long = sent(site, "short-body", "body"), sent(site, "long-body", "long-body")
    assert short.raw.partition(b"\r\n\r\n")[2] == b"Another body.\r\n"
    assert long.raw.partition(b"\r\n\r\n")[2] == LONG_BODY


@pytest.mark.parametrize(
    "do",
    [
        "insert, insert-second, insert-third, add, change-second, delete, body",
        "insert-second, insert",
        "insert-third, insert-second",
        "add-folded, change-absent, delete, delete-both, long-body",
    ],
)
def test_the_archive_holds_the_edited_mail_as_it_was_delivered(site: Site, do: str) -> None:
    more = "X-Twice: 1\r\nX-Twice: 2\r\nX-Other: 3\r\n"
    subject = do.replace(", ", "-")
    raw = without_trace(sent(site, subject, do, more=more).raw)
    receipt = record(site, f"{subject}@good.example")["facts"]["archive"]
    assert site.millrace.kept(receipt["sha256"]).decode() == raw.decode()


# --- envelope


def test_the_sender_is_changed_and_may_become_the_null_sender(site: Site) -> None:
    assert sent(site, "new-sender", "sender").sender == "changed@good.example"
    assert sent(site, "no-sender", "null-sender").sender == ""


def test_recipients_are_added_and_removed(site: Site) -> None:
    out = sent(site, "recipients", "more, fewer", ANN, BOB)
    assert sorted(out.recipients) == ["added@rcpt.example", ANN]


def test_a_refused_recipient_hears_it_and_the_others_get_the_mail(site: Site) -> None:
    to = [ANN, "refused@rcpt.example", "later@rcpt.example", BOB]
    refused = send(site.port, mail("some"), "a@good.example", *to, ip=GOOD)
    assert sorted(site.arrived("some").recipients) == [ANN, BOB]
    assert refused["refused@rcpt.example"] == (
        550,
        b"5.7.1 No,\n5.7.1 not in this house\n5.7.1 and not today",
    )
    assert refused["later@rcpt.example"] == (451, b"4.7.1 Not now")


def test_a_dropped_recipient_is_told_yes_and_gets_nothing(site: Site) -> None:
    assert sent(site, "dropped", "", ANN, "dropped@rcpt.example").recipients == [ANN]


def test_a_hundred_recipients_are_each_asked_and_served(site: Site) -> None:
    to = [f"user{number}@rcpt.example" for number in range(100)]
    send(site.port, mail("hundred"), "hundred@good.example", *to, ip=GOOD)
    settle(lambda: _recipients(site, "hundred") == sorted(to), "a hundred recipients")
    assert len(record(site, "hundred@good.example")["recipients"]) == 100


def _recipients(site: Site, subject: str) -> list[str]:
    mails = [mail for mail in site.sink.mails() if header(mail.raw, "Subject") == [subject]]
    return sorted(each for mail in mails for each in mail.recipients)


# --- verdicts


def test_a_quarantined_mail_lies_in_the_hold_queue(site: Site) -> None:
    send(site.port, mail("held", "hold, insert"), "held@good.example", ANN, ip=GOOD)
    (entry,) = [entry for entry in held(site) if entry["sender"] == "held@good.example"]
    assert entry["queue_id"] == record(site, "held@good.example")["id"]
    assert record(site, "held@good.example")["action"] == "quarantine"


def test_a_discarded_mail_is_answered_like_a_taken_one_and_goes_nowhere(site: Site) -> None:
    send(site.port, mail("gone", "discard"), "gone@good.example", ANN, ip=GOOD)
    assert record(site, "gone@good.example")["action"] == "discard"
    sent(site, "after-gone", "")
    assert not [m for m in site.sink.mails() if header(m.raw, "Subject") == ["gone"]]
    assert not [e for e in site.postfix.queue() if e["sender"] == "gone@good.example"]
    assert "archive" not in record(site, "gone@good.example")["facts"]


@pytest.mark.parametrize(
    ("do", "code", "text"),
    [
        ("refuse", 550, b"5.7.1 No,\n5.7.1 not in this house\n5.7.1 and not today"),
        ("later", 451, b"4.7.1 Not now"),
        ("bare", 550, b"5.7.1 Command rejected"),
    ],
)
def test_a_refusal_has_the_words_that_were_given(
    site: Site, do: str, code: int, text: bytes
) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(site.port, mail(f"no-{do}", do), "a@good.example", ANN, ip=GOOD)
    assert (refused.value.smtp_code, refused.value.smtp_error) == (code, text)


# --- what the filters are told


def test_login_and_peer_reach_the_filters(site: Site) -> None:
    with session(site.port, ip=GOOD, helo="desk.example", login="carol") as smtp:
        smtp.sendmail("login@good.example", [ANN], mail("login"))
    seen = record(site, "login@good.example")["facts"]["lookaround"]
    assert (seen["ip"], seen["helo"], seen["user"]) == (GOOD, "desk.example", "carol")


def test_tls_reaches_the_filters_with_version_and_cipher(site: Site) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", site.port, "tls.example", 30) as smtp:
        smtp.starttls(context=context)
        smtp.ehlo()
        impersonate(smtp, GOOD)
        smtp.sendmail("tls@good.example", [ANN], mail("tls"))
    seen = record(site, "tls@good.example")["facts"]["lookaround"]
    assert seen["tls"].startswith("TLSv1")
    assert seen["cipher"]


def test_a_login_does_not_outlive_its_connection(site: Site) -> None:
    with session(site.port, ip=GOOD, login="dave") as smtp:
        smtp.sendmail("dave@good.example", [ANN], mail("with-login"))
    sent_by = "nobody@good.example"
    send(site.port, mail("without-login"), sent_by, ANN, ip=GOOD)
    assert record(site, "dave@good.example")["session"]["login"] == "dave"
    assert record(site, sent_by)["session"]["login"] is None


def test_a_peer_with_an_ipv6_address_is_seen_as_such(site: Site) -> None:
    send(site.port, mail("six"), "six@good.example", ANN, ip="2001:db8::7")
    assert record(site, "six@good.example")["session"]["ip"] == "2001:db8::7"


def test_a_bounce_has_no_sender_and_is_taken(site: Site) -> None:
    send(site.port, mail("bounce"), "", ANN, ip=GOOD, helo="bounce.example")
    assert site.arrived("bounce").sender == ""
    bounce = decided(site.millrace, lambda each: each["session"]["helo"] == "bounce.example")
    assert bounce["from"] == ""


def test_addresses_beyond_ascii_are_kept_as_they_are(site: Site) -> None:
    with session(site.port, ip=GOOD) as smtp:
        smtp.mail("jörg@good.example", ["SMTPUTF8", "BODY=8BITMIME"])
        assert smtp.rcpt("änne@rcpt.example")[0] == 250
        assert smtp.data(mail("beyond"))[0] == 250
    found = record(site, "jörg@good.example")
    assert found["to"] == ["änne@rcpt.example"]


def test_thirty_megabytes_pass_with_their_edits(site: Site) -> None:
    line = b"x" * 74 + b"\r\n"
    raw = mail("large", "add") + line * (30_000_000 // len(line))
    send(site.port, raw, "large@good.example", ANN, ip=GOOD)
    settle(lambda: record(site, "large@good.example")["action"] == "pass", "the large mail")
    settle(lambda: site.arrived("large").raw.endswith(line * 1000), "the whole of it")
    came = site.arrived("large").raw
    assert without_trace(came).partition(b"\r\n\r\n")[2].endswith(raw.partition(b"\r\n\r\n")[2])
    assert header(came, "X-Added") == ["at the end"]
