"""One set of conversations, over real sockets, for every runtime of the milter front end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import milter_door
import pytest
from milter_door import NEW_BODY, digest
from milter_mta import BODY, FIELDS, SENDMAIL_8_13, Door, Mta, opened, raw

from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    InsertHeader,
    RemoveHeader,
    RemoveRecipient,
    ReplaceBody,
)
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import POSTFIX, Answer, Command, Negotiate

# What a runtime cannot do.  contrib/docs/milter-runtimes.md repeats it; tests hold each entry.
QUIT_NC = "QUIT_NC"
SMALL_OFFER = "an MTA that offers less than the whole protocol"
LONG_FIELD = "a header field over 64 KiB"
ODD_HELO = "a HELO name that is no UTF-8"
ODD_FIELD = "a field name that is no UTF-8"
ODD_PARAMETER = "an ESMTP parameter with two equals signs"
LACKS = {
    "native": frozenset(),
    "purepythonmilter": frozenset({QUIT_NC, SMALL_OFFER, LONG_FIELD, ODD_PARAMETER}),
    "libmilter": frozenset({QUIT_NC, LONG_FIELD, ODD_HELO, ODD_FIELD}),
}


@pytest.fixture(scope="module", params=sorted(LACKS))
def door(request) -> Iterator[Door]:
    if request.param == "libmilter" and importlib.util.find_spec("milter") is None:
        words = "pymilter is not installed (pip install 'millrace[libmilter]')"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    with opened(request.param) as process:
        assert process.stdout is not None
        door = Door(request.param, process, process.stdout.readline().strip())
        yield door
        with Mta(door) as idle:
            idle.greet().mail("clean")
            process.terminate()
            assert process.wait(20) == 0, (
                "a connection between two mails kept the door from closing"
            )


def unless(
    door: Door, what: str, loss: type | tuple[type, ...]
) -> contextlib.AbstractContextManager:
    """Holds a runtime to what it is said to lack, as to what it can."""
    return pytest.raises(loss) if what in LACKS[door.backend] else contextlib.nullcontext()


@pytest.fixture
def mta(door) -> Iterator[Mta]:
    with Mta(door) as made:
        yield made.greet()


# --- what arrives


def test_clean_mail_is_accepted_with_the_field_that_a_filter_adds(mta):
    outcome = mta.mail("clean")
    assert outcome.answer is Answer.ACCEPT
    assert [type(edit) for edit in outcome.edits] == [InsertHeader]


def test_peer_envelope_and_queue_id_reach_the_filters(mta):
    heard = mta.mail("clean", options=("SIZE=100", "BODY=8BITMIME"), queue_id="4QUEUE").heard()
    assert heard[:6] == [
        "192.0.2.7 40007 client.example",
        "client.example",
        "clean SIZE=100 BODY=8BITMIME",
        "you",
        "",
        "4QUEUE",
    ]


def test_login_macro_reaches_the_filters_of_its_mail_alone(mta):
    assert mta.mail("login").heard()[4] == "ann"
    assert mta.mail("clean").heard()[4] == ""


def test_header_and_body_arrive_with_their_exact_bytes(mta):
    heard = mta.mail("clean").heard()
    assert heard[-2:] == [digest(raw()), digest(BODY)]


def test_null_sender_reaches_the_filters_as_such(mta):
    assert mta.mail("").heard()[2] == ""


def test_peer_with_an_ipv6_address_is_named_right(door):
    with Mta(door) as mta:
        mta.say(wire.Connect("six.example", "inet6", "2001:db8::7", 25))
        mta.say(wire.Helo("six.example"))
        assert mta.mail("clean").heard()[0] == "2001:db8::7 25 six.example"


def test_peer_without_an_address_is_served_too(door):
    with Mta(door) as mta:
        mta.say(wire.Connect("localhost"))
        mta.say(wire.Helo("localhost"))
        assert mta.mail("clean").answer is Answer.ACCEPT


def test_large_body_arrives_whole_and_in_order(mta):
    body = b"".join(b"%08d%b\r\n" % (n, b"x" * 64) for n in range(30_000))
    assert mta.mail("clean", body=body).heard()[-1] == digest(body)


def test_body_above_the_limit_is_refused_with_a_reason(mta):
    body = b"x" * (milter_door.MAX_BODY + 1)
    answer = mta.mail("clean", body=body).answer
    assert isinstance(answer, Reply)
    assert (answer.code, answer.enhanced) == (552, "5.3.4")


# --- verdicts


def test_one_recipient_is_refused_while_another_passes(mta):
    outcome = mta.mail("clean", to=("nobody", "later", "you"))
    assert outcome.recipients == [
        Reply(550, "5.1.1", "nobody of that name"),
        Answer.TEMPFAIL,
        Answer.CONTINUE,
    ]
    assert outcome.heard()[3:5] == ["you", ""]


def test_recipient_that_is_dropped_is_taken_off_the_mail(mta):
    outcome = mta.mail("clean", to=("lost", "you"))
    assert outcome.recipients == [Answer.CONTINUE, Answer.CONTINUE]
    assert outcome.others == [RemoveRecipient(Address("lost", "mx.example"))]


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("reject", Reply(550, "5.7.1", "first line, 100% sure\nsecond line")),
        ("refuse", Answer.REJECT),
        ("tempfail", Answer.TEMPFAIL),
        ("greylist", Reply(451, "4.7.1", "come again")),
        ("discard", Answer.DISCARD),
    ],
)
def test_refusal_comes_in_its_own_words_and_without_edits(mta, word, answer):
    outcome = mta.mail(word)
    assert outcome.answer == answer
    assert outcome.edits == []


def test_quarantine_asks_the_mta_to_hold_the_mail(mta):
    outcome = mta.mail("hold")
    assert wire.Quarantine("obey_sender:") in outcome.edits
    assert outcome.answer is Answer.ACCEPT


# --- edits


def test_header_fields_are_changed_removed_inserted_and_added(mta):
    assert mta.mail("fields").others == [
        ChangeHeader("Subject", "changed", 1),
        RemoveHeader("X-Old", 2),
        InsertHeader("X-Top", "on top\n\tand folded", 0),
        # the MTA's own trace field is counted, which no filter sees
        InsertHeader("X-Third", "Grüße", 4),
        AddHeader("X-Last", "below"),
    ]


def test_envelope_is_changed_with_its_esmtp_parameters(mta):
    sender, *recipients = mta.mail("envelope").others
    assert sender == ChangeSender(Address("bounce", "mx.example"), ("SIZE=10",))
    assert recipients == [
        AddRecipient(Address("ann", "mx.example")),
        AddRecipient(Address("bob", "mx.example"), ("NOTIFY=NEVER", "ORCPT=rfc822;bob@mx.example")),
        RemoveRecipient(Address("you", "mx.example")),
    ]


def test_sender_is_changed_to_the_null_sender(mta):
    assert mta.mail("nullsender").others == [ChangeSender(None)]


def test_body_is_replaced_in_chunks_that_an_mta_takes(mta):
    chunks = mta.mail("body").others
    assert [type(chunk) for chunk in chunks] == [ReplaceBody] * len(chunks)
    assert max(len(chunk.body) for chunk in chunks) == 65535
    assert b"".join(chunk.body for chunk in chunks) == NEW_BODY


def test_body_is_replaced_by_an_empty_one(mta):
    assert mta.mail("empty").others == [ReplaceBody(b"")]


# --- several mails


def test_edits_of_one_mail_do_not_leak_into_the_next(mta):
    first, second, third = (mta.mail(word).others for word in ("one", "two", "clean"))
    assert first == [AddHeader("X-Mail", "one")]
    assert second == [AddHeader("X-Mail", "two"), AddHeader("X-More", "of two")]
    assert third == []


def test_mail_after_an_abort_is_judged_by_itself(mta):
    mta.say(wire.MailFrom("<one@client.example>"))
    mta.say(wire.RcptTo("<lost@mx.example>"))
    mta.say(wire.Header(b"X-Gone", b" yes"))
    mta.say(wire.Abort())
    outcome = mta.mail("two", fields=FIELDS[:1])
    assert outcome.heard()[3:5] == ["you", ""]
    assert outcome.heard()[-2] == digest(raw(FIELDS[:1]))
    assert outcome.others == [AddHeader("X-Mail", "two"), AddHeader("X-More", "of two")]


def test_connection_that_ends_in_mid_mail_leaves_the_door_open(door):
    with Mta(door) as gone:
        gone.greet().say(wire.MailFrom("<one@client.example>"))
    with Mta(door) as mta:
        assert mta.greet().mail("clean").answer is Answer.ACCEPT


def test_broken_filter_leaves_the_connection_serving(mta):
    assert mta.mail("broken").answer is Answer.ACCEPT
    assert mta.mail("one").others == [AddHeader("X-Mail", "one")]


def test_many_connections_at_once_keep_their_mails_apart(door):
    crowd = [Mta(door).greet(f"client{n}.example") for n in range(20)]
    for n, mta in enumerate(crowd):
        mta.say(wire.MailFrom(f"<m{n}@client.example>"))
        mta.say(wire.RcptTo("<you@mx.example>"))
    for n, mta in enumerate(crowd):
        mta.say(wire.EndOfHeaders())
        *edits, answer = mta.say(wire.EndOfMessage())
        assert answer is Answer.ACCEPT
        assert f"; client{n}.example; m{n};" in edits[0].value
        mta.socket.close()


def test_quit_ends_the_connection_from_both_sides(mta):
    mta.mail("clean")
    mta.say(wire.Quit())
    mta.socket.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError):
        mta.next()


def test_signals_stay_with_the_program_and_not_with_the_runtime(door, mta):
    door.process.send_signal(signal.SIGHUP)
    assert door.process.stdout.readline() == "heard SIGHUP\n"
    assert mta.mail("clean").answer is Answer.ACCEPT


# --- what the plan does not need, and what a runtime lacks


def test_mta_is_not_asked_for_what_no_filter_needs(mta):
    sends = {command.name for command in wire.STEPS if mta.client.terms.sends(command)}
    waits = {command.name for command in wire.STEPS if mta.client.terms.replies_to(command)}
    told = {"CONNECT", "HELO", "MAIL", "RCPT", "HEADER", "END_OF_HEADERS", "BODY"}
    assert sends == told
    assert waits & told == {"RCPT"}
    assert mta.client.terms.symbols[Command.END_OF_MESSAGE] == ("i",)


def test_next_peer_may_follow_on_the_same_connection(door, mta):
    mta.mail("one")
    mta.say(wire.QuitNewConnection())
    with unless(door, QUIT_NC, (ConnectionError, AssertionError)):
        mta.say(wire.Connect("other.example", "inet", "192.0.2.9", 40009))
        mta.say(wire.Helo("other.example"))
        assert mta.mail("clean").heard()[0] == "192.0.2.9 40009 other.example"


@pytest.mark.parametrize("offer", [SENDMAIL_8_13, Negotiate(6, 0x1F, POSTFIX.protocol)])
def test_mta_that_offers_less_is_served_within_its_offer(door, offer):
    with unless(door, SMALL_OFFER, ConnectionError), Mta(door, offer) as mta:
        outcome = mta.greet().mail("hold", fields=FIELDS[:3])
        assert outcome.heard()[-2:] == [digest(raw(FIELDS[:3])), digest(BODY)]
        assert outcome.others == []
        assert outcome.answer is Answer.ACCEPT


def test_header_field_larger_than_a_chunk_arrives(door, mta):
    fields = ((b"X-Long", b" " + b"x" * 70_000),)
    with unless(door, LONG_FIELD, ConnectionError):
        assert mta.mail("clean", fields=fields).heard()[-2] == digest(raw(fields))


def test_helo_name_of_any_bytes_is_heard(door):
    with unless(door, ODD_HELO, AssertionError), Mta(door) as mta:
        assert mta.greet("caf\udce9").mail("clean").heard()[1] == "caf\udce9"


def test_field_name_of_any_bytes_is_heard(door, mta):
    fields = (*FIELDS, (b"X-Caf\xe9", b" yes"))
    with unless(door, ODD_FIELD, AssertionError):
        assert mta.mail("clean", fields=fields).heard()[-2] == digest(raw(fields))


def test_esmtp_parameter_with_two_equals_signs_is_heard(door, mta):
    with unless(door, ODD_PARAMETER, ConnectionError):
        assert mta.mail("clean", options=("X=a=b",)).heard()[2] == "clean X=a=b"


def test_peer_whose_name_is_no_text_is_never_judged_as_another(door):
    with Mta(door) as mta:
        mta.say(wire.Connect("caf\udce9.example", "inet", "192.0.2.7", 40007))
        mta.say(wire.Helo("client.example"))
        try:
            outcome = mta.mail("clean")
        except ConnectionError:
            return  # the MTA defers
        assert outcome.answer is Answer.TEMPFAIL or outcome.heard()[0].startswith("192.0.2.7 ")


def test_readme_of_the_runtimes_names_all_that_they_lack():
    page = Path(milter_door.__file__).parent.parent / "contrib" / "docs" / "milter-runtimes.md"
    text = page.read_text()
    lacking = {what for lacks in LACKS.values() for what in lacks}
    assert [what for what in lacking if what not in text] == []


def test_second_libmilter_in_one_process_is_refused_with_a_sentence(tmp_path: Path):
    pytest.importorskip("milter")
    script = tmp_path / "two.py"
    script.write_text(
        "import asyncio, milter_door\n"
        "async def both():\n"
        "    for _ in range(2):\n"
        "        await milter_door.opened('libmilter')\n"
        "asyncio.run(both())\n"
    )
    found = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(Path(milter_door.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "libmilter serves only one listener in a process" in found.stderr
