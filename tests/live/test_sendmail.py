"""Beside a real Sendmail: the main job, and what Sendmail does otherwise than Postfix."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live.parties import Millrace, Sink, Sunk, header, settle
from live.sendmail import Sendmail, unpacked
from live.sites import ARCHIVE, ODD, arrived, decided, engine, mail, without_trace

PIPELINE = """
[[filter]]
use = "spf"
[[filter]]
use = "dkim"
[[filter]]
use = "dmarc"
[[filter]]
use = "greylist"
when = "sender.domain == 'new.example'"
wait = "2s"
[[filter]]
use = "stamp"
authserv_id = "mx.rcpt.example"
"""
ANN, BOB = "ann@rcpt.example", "bob@rcpt.example"
# the peer is 127.0.0.1 here: Sendmail has no XCLIENT
ZONE = '{"good.example": {"TXT": ["v=spf1 ip4:127.0.0.1 -all"]},'
ZONE += '"_dmarc.good.example": {"TXT": ["v=DMARC1; p=reject"]},'
ZONE += '"_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]}}'


@dataclass
class Place:
    """The daemon, Sendmail and the sink."""

    millrace: Millrace
    sendmail: Sendmail
    sink: Sink

    def send(self, raw: bytes, sender: str, *to: str, old: bool = False) -> dict[str, object]:
        port = self.sendmail.old_port if old else self.sendmail.port
        with smtplib.SMTP("127.0.0.1", port, "client.example", 30) as smtp:
            return dict(smtp.sendmail(sender, to or (ANN,), raw))

    def sent(self, subject: str, do: str, *to: str, old: bool = False, more: str = "") -> Sunk:
        raw = mail(subject, do, more=more)
        self.send(raw, f"{subject}@good.example", *to, old=old)
        return arrived(self.sink, subject)


@pytest.fixture(scope="module")
def place(root: None, new_folder: Callable[[str], Path]) -> Iterator[Place]:
    folder = new_folder("sendmail")
    files = unpacked(folder / "packages")
    millrace = engine(folder / "here", PIPELINE + ODD + ARCHIVE)
    (millrace.folder / "zone.json").write_text(ZONE)
    sink = Sink(folder / "sink").start()
    millrace.start()
    mta = Sendmail(files, folder / "mta", millrace.port("milter"), sink.port)
    try:
        mta.start()
        yield Place(millrace, mta, sink)
    finally:
        mta.stop()
        sink.stop()
        millrace.stop()


def test_clean_mail_is_accepted_stamped_and_archived(place: Place) -> None:
    raw = place.sent("clean", "").raw
    (results,) = header(raw, "Authentication-Results")
    assert "spf=pass" in results
    assert "dmarc=pass" in results
    assert_archived(place, "clean", raw)


def assert_archived(place: Place, subject: str, raw: bytes) -> None:
    """The archive holds what went out, but for Sendmail's own trace field."""
    record = decided(place.millrace, lambda each: each["from"] == f"{subject}@good.example")
    kept = place.millrace.kept(record["facts"]["archive"]["sha256"])
    assert kept.decode() == without_trace(raw).decode()


def test_mail_that_its_author_disowns_is_refused_with_the_policys_reply(place: Place) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        place.send(mail("disowned", author="x@bank.example"), "a@other.example")
    words = b"5.7.26 bank.example asks to refuse mail that it did not send"
    assert (refused.value.smtp_code, refused.value.smtp_error) == (550, words)


def test_a_new_sender_waits_and_then_passes(place: Place) -> None:
    raw = mail("greylisted", author="x@new.example")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        place.send(raw, "x@new.example")
    # Sendmail puts the recipient in front
    words = b"4.7.1 <ann@rcpt.example>... Please come again: this sender is new here"
    assert refused.value.recipients[ANN] == (450, words)

    def passes() -> bool:
        try:
            place.send(raw, "x@new.example")
        except smtplib.SMTPRecipientsRefused:
            return False
        return True

    settle(passes, "the sender who came again")
    arrived(place.sink, "greylisted")


@pytest.mark.parametrize("old", [False, True], ids=["leading-space", "no-leading-space"])
def test_fields_are_written_with_one_space_in_either_mode(place: Place, old: bool) -> None:
    subject = f"spaces-{old}"
    more = "X-Old: old words\r\nX-Wide:   wide\r\nX-None:narrow\r\nX-Twice: 1\r\nX-Twice: 2\r\n"
    raw = place.sent(subject, "add-plain, insert, change, delete", old=old, more=more).raw
    assert b"\r\nX-Plain: yes\r\n" in raw
    assert b"\r\nX-Old: new words\r\n" in raw
    assert b"X-Inserted: on top\r\n" in raw
    assert header(raw, "X-Twice") == ["2"]


@pytest.mark.parametrize("old", [False, True], ids=["leading-space", "no-leading-space"])
@pytest.mark.parametrize(
    "do",
    [
        "insert, insert-second, insert-third, add, change-second, delete, body",
        "insert-second, insert",
        "add-folded, change-absent, delete, delete-both, long-body",
    ],
)
def test_the_archive_holds_the_edited_mail_as_it_was_delivered(
    place: Place, do: str, old: bool
) -> None:
    subject = do.replace(", ", "-") + f"-{old}"
    raw = place.sent(subject, do, old=old, more="X-Twice: 1\r\nX-Twice: 2\r\nX-Other: 3\r\n").raw
    assert_archived(place, subject, raw)


def test_a_field_for_a_place_in_the_middle_stands_between_trace_and_what_came(
    place: Place,
) -> None:
    # Sendmail counts fields of its configuration that are not there, too: nobody can know them
    raw = place.sent("middle", "insert-third", more="X-Other: 3\r\n").raw
    names = [line.partition(b":")[0] for line in raw.split(b"\r\n") if line[:1].isalpha()]
    assert names.index(b"Received") + 1 == names.index(b"X-Third") == names.index(b"From") - 1


def test_the_sender_is_changed_and_recipients_come_and_go(place: Place) -> None:
    out = place.sent("envelope", "sender, more, fewer", ANN, BOB)
    assert out.sender == "changed@good.example"
    assert sorted(out.recipients) == ["added@rcpt.example", ANN]


def test_a_refused_recipient_hears_it_and_the_others_get_the_mail(place: Place) -> None:
    refused = place.send(mail("some"), "a@good.example", ANN, "refused@rcpt.example", BOB)
    words = b"5.7.1 <refused@rcpt.example>... No,\n5.7.1 not in this house\n5.7.1 and not today"
    assert refused == {"refused@rcpt.example": (550, words)}
    assert sorted(arrived(place.sink, "some").recipients) == [ANN, BOB]


def test_a_quarantined_mail_is_held_in_the_queue(place: Place) -> None:
    place.send(mail("held", "hold"), "held@good.example")
    held = [text for text in place.sendmail.queued() if "held@good.example" in text]
    assert [text[:2] for text in held] == ["hf"]


def test_a_discarded_mail_goes_nowhere(place: Place) -> None:
    place.send(mail("gone", "discard"), "gone@good.example")
    place.sent("after-gone", "")
    assert not [m for m in place.sink.mails() if header(m.raw, "Subject") == ["gone"]]
    assert not [text for text in place.sendmail.queued() if "gone@good.example" in text]


def test_several_mails_go_over_one_connection_each_with_its_own_verdict(place: Place) -> None:
    with smtplib.SMTP("127.0.0.1", place.sendmail.port, "client.example", 30) as smtp:
        smtp.sendmail("one@good.example", [ANN], mail("first"))
        with pytest.raises(smtplib.SMTPDataError):
            smtp.sendmail("a@other.example", [ANN], mail("second", author="x@bank.example"))
        smtp.sendmail("three@good.example", [ANN], mail("third", "insert"))
    first = decided(place.millrace, lambda each: each["from"] == "one@good.example")
    third = decided(place.millrace, lambda each: each["from"] == "three@good.example")
    assert first["id"] != third["id"]
    assert header(arrived(place.sink, "third").raw, "X-Inserted") == ["on top"]
    assert header(arrived(place.sink, "first").raw, "X-Inserted") == []
