"""Negotiation: never more than was offered, and never less than is needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.errors import ProtocolError
from millrace.engine.wire.milter import (
    CHUNK_1M,
    CHUNK_64K,
    CHUNK_256K,
    POSTFIX,
    STEPS,
    Act,
    Command,
    Negotiate,
    Step,
    Terms,
    Wants,
    agreed,
    negotiate,
)
from millrace.engine.wire.milter.codes import OPTIONAL
from millrace.engine.wire.milter.terms import accepted

OLD = Negotiate(2, 0x3F, 0x7F)
EDITS = Act(0x3F)
NUMBERS = st.integers(0, 0xFFFFFFFF)
COMMANDS = st.frozensets(st.sampled_from(sorted(STEPS)))
OFFERS = st.builds(Negotiate, st.integers(2, 9), NUMBERS, NUMBERS)
WANTS = st.builds(
    Wants,
    COMMANDS,
    COMMANDS,
    st.integers(0, 0x1FF).map(Act),
    rejected_recipients=st.booleans(),
    skip=st.booleans(),
    leading_space=st.booleans(),
    symbols=st.sampled_from([{}, {Command.MAIL: ("i",)}]),
    chunk=st.sampled_from([CHUNK_64K, CHUNK_256K, CHUNK_1M]),
)


@given(OFFERS, WANTS)
def test_the_answer_takes_nothing_that_was_not_offered(offer, wants):
    answer = negotiate(offer, wants)
    assert answer.version == min(offer.version, 6)
    assert not answer.actions & ~offer.actions
    assert not answer.protocol & ~offer.protocol
    assert bool(answer.symbols) == bool(answer.actions & Act.SET_SYMBOLS)


@given(OFFERS, WANTS)
def test_what_is_wanted_is_never_declined_or_hushed(offer, wants):
    terms = agreed(negotiate(offer, wants))
    for command in wants.events:
        assert not terms.protocol & OPTIONAL[command][0]
        assert command not in wants.replies or terms.replies_to(command)


@given(OFFERS, WANTS)
def test_both_sides_read_the_same_terms(offer, wants):
    answer = negotiate(offer, wants)
    assert Negotiate.parse(answer.encode()[5:]) == answer
    assert accepted(offer, answer) == agreed(answer)


def test_steps_that_nobody_asks_for_are_not_sent():
    terms = agreed(negotiate(POSTFIX, Wants(events=frozenset({Command.RCPT}))))
    assert [command for command in STEPS if terms.sends(command)] == [Command.RCPT]


def test_a_step_that_cannot_be_declined_is_hushed_instead():
    offer = Negotiate(6, 0, int(Step.QUIET_HELO))
    terms = agreed(negotiate(offer, Wants(events=frozenset())))
    assert terms.sends(Command.HELO)
    assert not terms.replies_to(Command.HELO)


def test_an_old_mta_waits_for_every_reply_and_knows_no_extras():
    terms = agreed(negotiate(OLD, Wants(replies=frozenset(), actions=EDITS)))
    assert (terms.version, terms.leading_space, terms.skip, terms.chunk) == (2, False, False, 65535)
    assert all(terms.replies_to(command) for command in STEPS)
    assert not terms.sends(Command.DATA)
    assert not terms.sends(Command.UNKNOWN)


def test_the_end_of_a_message_is_always_answered():
    terms = Terms(6, 0, 0xFFFFFFFF)
    assert terms.sends(Command.END_OF_MESSAGE)
    assert terms.replies_to(Command.END_OF_MESSAGE)


@pytest.mark.parametrize("command", list("ADKQ"))
def test_asides_are_never_answered(command):
    assert not Terms(6, 0, 0).replies_to(ord(command))


def test_skip_is_asked_for_only_where_a_body_comes():
    assert agreed(negotiate(POSTFIX, Wants())).skip
    assert not agreed(negotiate(POSTFIX, Wants(events=STEPS - {Command.BODY}))).skip


def test_rejected_recipients_are_asked_for_when_wanted():
    assert agreed(negotiate(POSTFIX, Wants(rejected_recipients=True))).rejected_recipients
    assert not agreed(negotiate(POSTFIX, Wants())).rejected_recipients


@pytest.mark.parametrize(
    ("offered", "asked", "agreed_on"),
    [
        (0, CHUNK_1M, CHUNK_64K),
        (Step.CHUNK_256K, CHUNK_1M, CHUNK_256K),
        (Step.CHUNK_256K | Step.CHUNK_1M, CHUNK_1M, CHUNK_1M),
        (Step.CHUNK_256K | Step.CHUNK_1M, CHUNK_256K, CHUNK_256K),
        (Step.CHUNK_256K | Step.CHUNK_1M, CHUNK_64K, CHUNK_64K),
    ],
)
def test_the_largest_chunk_that_both_know_is_agreed_on(offered, asked, agreed_on):
    answer = negotiate(Negotiate(6, 0, int(offered)), Wants(chunk=asked))
    assert agreed(answer).chunk == agreed_on


def test_symbol_lists_travel_with_braces_and_stage_numbers():
    symbols = {Command.END_OF_MESSAGE: ("i",), Command.CONNECT: ("j", "client_addr")}
    sent = negotiate(POSTFIX, Wants(symbols=symbols)).encode()
    assert sent.endswith(b"\0\0\0\0j {client_addr}\0" + b"\0\0\0\x05i\0")
    assert Negotiate.parse(sent[5:]).symbols == symbols


def test_a_milter_of_version_1_is_refused_in_words():
    with pytest.raises(ProtocolError, match="speaks milter version 1; 2 is the least"):
        negotiate(Negotiate(1, 0xF, 0x3F), Wants())


def test_a_missing_action_that_is_a_must_is_refused_in_words():
    with pytest.raises(ProtocolError, match=r"does not let a filter add headers, quarantine$"):
        negotiate(Negotiate(6, 0, 0), Wants(must=Act.QUARANTINE | Act.ADD_HEADERS))


@pytest.mark.parametrize("payload", [b"", b"\0" * 11, b"\0" * 14, b"\0" * 16 + b"i"])
def test_a_negotiation_cut_short_is_refused(payload):
    with pytest.raises(ProtocolError):
        Negotiate.parse(payload)


@pytest.mark.parametrize("answer", [Negotiate(7, 0, 0), Negotiate(1, 0, 0), Negotiate(6, 0x200, 0)])
def test_the_mta_refuses_an_answer_beyond_its_offer(answer):
    with pytest.raises(ProtocolError):
        accepted(POSTFIX, answer)
