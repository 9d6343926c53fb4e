"""The stub resolver against name servers that do what the test says."""

import asyncio
import socket

import dns.flags
import dns.message
import dns.rcode
import pytest
from engine.net.scripted_dns import ScriptedDns, deaf, here, reply

from millrace.engine.net import datagrams
from millrace.engine.net.datagrams import UNWANTED_MAX
from millrace.engine.net.resolver import StubResolver
from millrace.engine.ports import Answer

FOUND = Answer("found", ("192.0.2.1",), 300)
BIG = [f'a.example. 300 IN TXT "{n:02d}{"x" * 200}"' for n in range(30)]


def looked_up(script, *names, kind="A", more=(), **options):
    """Answers of one resolver over one scripted server, and that server with its counters."""

    async def walk():
        async with ScriptedDns(script) as server:
            resolver = StubResolver([server.address, *more], options.pop("timeout", 5), **options)
            try:
                answers = [await resolver.lookup(name, kind) for name in names or ("a.example",)]
            finally:
                await resolver.close()
            return answers, server, resolver.upstreams

    return asyncio.run(walk())


def flagged(data, *, number=None, code=None):
    """A reply with another id or code."""
    changed = bytearray(data)
    if number is not None:
        changed[0:2] = ((data[0] << 8 | data[1]) + number & 0xFFFF).to_bytes(2, "big")
    if code is not None:
        changed[3] = changed[3] & 0xF0 | code
    return bytes(changed)


def test_server_is_asked_with_edns_and_for_the_validated_bit():
    (answer,), server, (upstream,) = looked_up(lambda _, q, __: here(q))
    assert answer == FOUND
    ((question, over),) = server.asked
    assert (over, question.edns, question.payload) == ("udp", 0, 1232)
    assert question.flags & dns.flags.AD
    assert upstream.counters.outcomes["udp"] == 1
    assert upstream.counters.seconds > 0


def test_name_without_octets_is_never_asked():
    answers, server, _ = looked_up(lambda _, q, __: here(q), "x" * 64 + ".example", "a..b", "é")
    assert {each.status for each in answers} == {"badname"}
    assert server.asked == []


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (dns.rcode.NXDOMAIN, "nxdomain"),
        (dns.rcode.NOERROR, "nodata"),
        (dns.rcode.SERVFAIL, "servfail"),
        (dns.rcode.REFUSED, "servfail"),
        (dns.rcode.NOTAUTH, "servfail"),
    ],
)
def test_code_of_a_reply_is_a_status_and_asked_once(code, status):
    (answer,), server, _ = looked_up(lambda _, q, __: reply(q, code=code))
    assert answer.status == status
    assert len(server.asked) == 1


def test_wrong_answers_are_passed_over_and_the_right_one_is_waited_for():
    def script(_, question, __):
        other = dns.message.make_query("b.example", "A", id=question.id)
        good = here(question)
        return [here(other), flagged(good, number=1), good[:7], good]

    (answer,), _, (upstream,) = looked_up(script)
    assert answer == FOUND
    assert upstream.counters.unwanted == 3


def test_answer_from_another_port_is_not_taken():
    def script(server, question, _):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(here(question, "192.0.2.66"), ("127.0.0.1", server.peers[-1]))
        return here(question)

    (answer,), _, _ = looked_up(script)
    assert answer == FOUND


def test_question_at_which_somebody_guesses_goes_over_tcp():
    def script(_, question, over):
        guess = here(question, "192.0.2.66")
        if over == "tcp":
            return here(question)
        return [flagged(guess, number=n) for n in range(1, UNWANTED_MAX + 1)]

    (answer,), _, (upstream,) = looked_up(script)
    assert answer == FOUND
    assert (upstream.counters.unwanted, upstream.counters.outcomes["tcp"]) == (UNWANTED_MAX, 1)


def test_cut_answer_is_asked_again_over_tcp():
    def script(_, question, over):
        return reply(question, *BIG) if over == "tcp" else reply(question, flags=dns.flags.TC)

    (answer,), server, _ = looked_up(script, kind="TXT")
    assert len(answer.texts) == 30
    assert [over for _, over in server.asked] == ["udp", "tcp"]


@pytest.mark.parametrize(
    "said",
    [
        lambda whole: [],
        lambda whole: [ScriptedDns.framed(whole)[:-10]],
        lambda whole: [b"\xff\xff" + whole],
        lambda whole: [b"\0"],
        lambda whole: [ScriptedDns.framed(flagged(whole, number=1))],
    ],
)
def test_broken_tcp_is_no_answer(said, monkeypatch):
    def script(_, question, over):
        return reply(question, flags=dns.flags.TC) if over == "udp" else None

    async def talk(self, reader, writer):
        size = int.from_bytes(await reader.readexactly(2), "big")
        question = dns.message.from_wire(await reader.readexactly(size))
        for each in said(here(question)):
            writer.write(each)
        writer.close()

    monkeypatch.setattr(ScriptedDns, "_talk", talk)
    (answer,), _, (upstream,) = looked_up(script, tries=1)
    assert answer == Answer("timeout")
    assert upstream.counters.outcomes["unreachable"] == 1


def test_server_that_refuses_edns_is_asked_without_and_that_is_remembered():
    def script(_, question, __):
        return here(question) if question.edns < 0 else flagged(here(question), code=1)

    answers, server, _ = looked_up(script, "a.example", "b.example")
    assert [each.status for each in answers] == ["found", "found"]
    assert [question.edns for question, _ in server.asked] == [0, -1, -1]


def test_bare_header_that_says_format_error_is_understood():
    def script(_, question, __):
        if question.edns < 0:
            return here(question)
        return question.id.to_bytes(2, "big") + b"\x80\x01" + bytes(8)

    (answer,), _, _ = looked_up(script)
    assert answer == FOUND


def test_server_that_is_away_is_left_for_the_next_and_asked_last_then():
    async def walk():
        door, nobody = deaf()
        with door:
            async with ScriptedDns(lambda _, q, __: here(q)) as server:
                resolver = StubResolver([nobody, server.address], 0.05)
                answers = [await resolver.lookup(f"{n}.example", "A") for n in "abc"]
                await resolver.close()
                return answers, resolver.upstreams

    answers, (first, second) = asyncio.run(walk())
    assert answers == [FOUND] * 3
    assert (first.counters.outcomes["timeout"], first.counters.failovers) == (1, 1)
    assert second.counters.outcomes["udp"] == 3


def test_port_where_nobody_listens_is_known_at_once():
    async def walk():
        door, nobody = deaf()
        door.close()
        async with ScriptedDns(lambda _, q, __: here(q)) as server:
            resolver = StubResolver([nobody, server.address], 60, overall=60)
            async with asyncio.timeout(20):
                answer = await resolver.lookup("a.example", "A")
            await resolver.close()
            return answer, resolver.upstreams[0].counters.outcomes["unreachable"]

    assert asyncio.run(walk()) == (FOUND, 1)


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_server_that_cannot_say_is_left_for_the_next(code):
    async def walk():
        async with (
            ScriptedDns(lambda _, q, __: reply(q, code=code)) as lame,
            ScriptedDns(lambda _, q, __: here(q)) as good,
        ):
            resolver = StubResolver([lame.address, good.address])
            answers = [await resolver.lookup(name, "A") for name in ("a.example", "b.example")]
            await resolver.close()
            return answers, len(lame.asked)

    # another name may be one that the first knows
    assert asyncio.run(walk()) == ([FOUND] * 2, 2)


def test_silence_of_all_is_a_timeout_within_the_whole_time():
    async def walk():
        door, nobody = deaf()
        with door:
            resolver = StubResolver([nobody], 0.02, 3)
            began = asyncio.get_running_loop().time()
            answer = await resolver.lookup("a.example", "A")
            hurried = StubResolver([nobody], 5, 3, overall=0.02)
            second = await hurried.lookup("a.example", "A")
            took = asyncio.get_running_loop().time() - began
            await resolver.close()
            await hurried.close()
            return answer, second, took, resolver.upstreams[0].counters.outcomes["timeout"]

    answer, second, took, timeouts = asyncio.run(walk())
    assert (answer, second, timeouts) == (Answer("timeout"), Answer("timeout"), 3)
    assert took < 4


def test_reply_that_nobody_can_read_is_a_failure():
    def script(_, question, __):
        return here(question)[:-3]

    (answer,), _, (upstream,) = looked_up(script)
    assert answer == Answer("servfail")
    assert upstream.counters.outcomes["malformed"] == 1


def test_loop_of_aliases_is_a_failure():
    loop = ["a.example. 5 IN CNAME b.example.", "b.example. 5 IN CNAME a.example."]
    (answer,), _, _ = looked_up(lambda _, q, __: reply(q, *loop))
    assert answer == Answer("servfail")


def test_validated_bit_of_a_server_on_loopback_is_kept():
    def script(_, question, __):
        return reply(question, "a.example. 300 IN A 192.0.2.1", flags=dns.flags.AD)

    (answer,), _, (upstream,) = looked_up(script)
    assert answer.secure
    assert upstream.loopback


@pytest.mark.parametrize("trusted", [True, False])
def test_validated_bit_of_a_server_elsewhere_counts_only_when_told(trusted):
    async def walk():
        flags = dns.flags.AD
        async with ScriptedDns(lambda _, q, __: reply(q, "a.example. 300 IN A 192.0.2.1",
                                                      flags=flags)) as server:  # fmt: skip
            resolver = StubResolver([server.address], trusted=trusted)
            resolver.upstreams[0].loopback = False  # as if it were
            answer = await resolver.lookup("a.example", "A")
            await resolver.close()
            return answer.secure

    assert asyncio.run(walk()) is trusted


def test_ids_and_ports_of_questions_are_many_and_short_lived(monkeypatch):
    monkeypatch.setattr(datagrams, "USES_MAX", 4)
    names = [f"n{n}.example" for n in range(200)]
    answers, server, _ = looked_up(lambda _, q, __: here(q), *names)
    assert {each.status for each in answers} == {"found"}
    ids = [question.id for question, _ in server.asked]
    assert len(set(ids)) > len(ids) * 0.9
    assert len(set(server.peers)) >= 30  # 200 questions, 4 of a socket, less chance's repeats


def test_many_questions_at_once_each_get_their_own_answer():
    def script(_, question, __):
        number = question.question[0].name.labels[0][1:].decode()
        return here(question, f"192.0.2.{number}")

    async def walk():
        async with ScriptedDns(script) as server:
            resolver = StubResolver([server.address])
            names = [f"n{n}.example" for n in range(200)]
            answers = await asyncio.gather(*(resolver.lookup(name, "A") for name in names))
            await resolver.close()
            return [each.records for each in answers]

    assert asyncio.run(walk()) == [(f"192.0.2.{n}",) for n in range(200)]


def test_closing_tells_who_waits_and_leaves_no_socket():
    async def walk():
        door, nobody = deaf()
        with door:
            resolver = StubResolver([nobody], 60, 1, overall=60)
            asking = asyncio.create_task(resolver.lookup("a.example", "A"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await resolver.close()
            async with asyncio.timeout(10):
                return await asking

    assert asyncio.run(walk()) == Answer("timeout")
