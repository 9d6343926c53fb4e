"""Redis as operators have it: by Sentinels, as a cluster, with TLS and an ACL user."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conftest import free_port
from live.redises import RedisServer, cluster, keys, watched

from millrace.engine.breaker import Breaker
from millrace.engine.errors import Declined, Misconfigured, Unavailable
from millrace.engine.operations.birth import AskBirth
from millrace.engine.operations.bucket import TakeTokens
from millrace.engine.operations.counter import Count
from millrace.engine.operations.greylist import NoteVisit, Terms
from millrace.engine.operations.lease import Acquire, Release
from millrace.engine.operations.members import AddMember
from millrace.engine.operations.operation import Operation
from millrace.engine.operations.reputation import AddReputation
from millrace.engine.operations.window import CountInWindow
from millrace.engine.ports import State
from millrace.engine.state.opening import open_state
from millrace.engine.state.settings import State as Settings

pytestmark = [
    pytest.mark.live,
    # redis-py forgets connections that it has replaced, and leaves them to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

T = TypeVar("T")
PAGE = Path(__file__).resolve().parents[2] / "contrib/docs/state.md"
TERMS = Terms(300, 3600, 86400, 5)
ALL: tuple[Operation[Any], ...] = (
    AskBirth(),
    NoteVisit("t", "c", TERMS),
    NoteVisit("other", "c", TERMS, "triplet"),
    TakeTokens("k", 1, 2),
    CountInWindow("k", 60, 2),
    Count("k", 60),
    AddMember("k", "m", 60, most=1),
    AddMember("k", "n", 60, most=1),
    AddReputation("k", 60, 1, 2),
    Acquire("k", "h", 1, 60),
    Release("k", "h"),
)


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Collect them while the mark above holds, not in the midst of another module's test."""
    yield
    gc.collect()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def with_state(settings: Settings, work: Callable[[State], Awaitable[T]]) -> T:
    async def go() -> T:
        state = open_state(settings, lambda path: path)
        try:
            return await work(state)
        finally:
            await state.close()

    return asyncio.run(go())


def every_operation(settings: Settings) -> list[Any]:
    """The answers to one of each, asked at once."""

    async def work(state: State) -> list[Any]:
        return list(await asyncio.gather(*[state.ask(each) for each in ALL]))

    return with_state(settings, work)


def test_all_operations_of_one_turn_are_one_round_trip(stack: ExitStack, tmp_path: Path) -> None:
    server = stack.enter_context(RedisServer(tmp_path))
    every_operation(Settings(url=server.url))  # the scripts are known now

    async def work(state: State) -> tuple[int, int]:
        await state.ping()
        before = _figure(server, "total_reads_processed")
        commands = _figure(server, "evalsha:calls")
        await asyncio.gather(*[state.ask(Count(str(n), 60)) for n in range(50)])
        reads = _figure(server, "total_reads_processed") - before
        return reads, _figure(server, "evalsha:calls") - commands

    reads, commands = with_state(Settings(url=server.url), work)
    assert commands == 50
    assert reads <= 6  # one of ours; the others are redis-cli's, three for each figure


def _figure(server: RedisServer, name: str) -> int:
    for line in server.says("info", "everything").splitlines():
        found = line.replace("cmdstat_", "").replace("evalsha:calls=", "evalsha:calls:")
        if found.startswith(name + ":"):
            return int(found.removeprefix(name + ":").split(",")[0])
    return 0


def test_a_cluster_answers_every_operation_and_spreads_the_keys(
    stack: ExitStack, tmp_path: Path
) -> None:
    nodes = cluster(stack, tmp_path)
    settings = Settings(url=nodes[0].url, cluster=True, nodes=(nodes[1].address,))
    assert len(every_operation(settings)) == len(ALL)

    async def many(state: State) -> list[float]:
        return list(await asyncio.gather(*[state.ask(Count(str(n), 60)) for n in range(100)]))

    assert with_state(settings, many) == [1.0] * 100
    held = [int(node.says("dbsize")) for node in nodes]
    assert min(held) > 10


def test_a_cluster_is_found_when_its_first_node_is_away(stack: ExitStack, tmp_path: Path) -> None:
    nodes = cluster(stack, tmp_path)
    nobody = f"redis://127.0.0.1:{free_port()}"
    settings = Settings(url=nobody, cluster=True, nodes=(nodes[1].address, nodes[2].address))
    assert len(every_operation(settings)) == len(ALL)


def test_after_a_fail_over_the_sentinels_new_master_is_asked(
    stack: ExitStack, tmp_path: Path
) -> None:
    master, replica, sentinel = watched(stack, tmp_path)
    settings = Settings(url="redis://sentinel/0", sentinels=(sentinel,), master="mill")

    async def work(state: State) -> tuple[float, float, float]:
        before = [await state.ask(Count("k", 600)) for _ in range(3)][-1]
        replica.says("wait", "0", "0")
        await asyncio.sleep(0.2)  # the replica has it
        began = time.monotonic()
        master.kill()
        while time.monotonic() < began + 20:
            try:
                return before, await state.ask(Count("k", 600)), time.monotonic() - began
            except Unavailable:
                await asyncio.sleep(0.05)
        raise AssertionError("no new master within 20 s")

    before, after, seconds = with_state(settings, work)
    assert before == 3
    assert after == 4
    assert seconds < 15
    assert "role:master" in replica.says("info", "replication")


def acl_rule() -> list[str]:
    """The rule that the page tells operators to set."""
    (line,) = [line for line in PAGE.read_text().splitlines() if "ACL SETUSER millrace" in line]
    return line.split("ACL SETUSER ")[1].split()


def test_tls_with_a_client_certificate_and_the_least_acl_user_does_all(
    stack: ExitStack, tmp_path: Path
) -> None:
    made, key = keys(tmp_path)
    server = RedisServer(tmp_path)
    tls = ["--tls-port", str(server.port), "--port", "0", "--tls-cert-file", str(made)]
    server.options = (*tls, "--tls-key-file", str(key), "--tls-ca-cert-file", str(made))
    user = [word.replace(">PASSWORD", ">secret") for word in acl_rule()]
    server.options += ("--user", *user, "--user", "default", "off")
    stack.enter_context(server)
    password = tmp_path / "password"
    password.write_text("secret\n")
    settings = Settings(
        url=f"rediss://127.0.0.1:{server.port}/0",
        user="millrace",
        password_file=password,
        tls_ca=made,
        tls_certificate=made,
        tls_key=key,
    )
    assert len(every_operation(settings)) == len(ALL)
    with_state(settings, lambda state: state.ping())


@pytest.mark.parametrize("wrong", ["password", "authority"])
def test_a_wrong_password_and_an_unknown_authority_are_unavailable(
    stack: ExitStack, tmp_path: Path, wrong: str
) -> None:
    made, key = keys(tmp_path)
    server = RedisServer(tmp_path)
    tls = ["--tls-port", str(server.port), "--port", "0", "--tls-cert-file", str(made)]
    tls += ["--tls-key-file", str(key), "--tls-auth-clients", "no"]
    server.options = (*tls, "--tls-ca-cert-file", str(made), "--requirepass", "secret")
    stack.enter_context(server)
    password = tmp_path / "password"
    password.write_text("guessed" if wrong == "password" else "secret")
    settings = Settings(
        url=f"rediss://127.0.0.1:{server.port}/0",
        password_file=password,
        tls_ca=made if wrong == "password" else None,
    )
    words = "password" if wrong == "password" else "(?i)certificate|ssl"
    with pytest.raises(Unavailable, match=words) as told:
        every_operation(settings)
    assert "guessed" not in str(told.value)


def test_a_password_that_changes_is_read_anew_and_needs_no_restart(
    stack: ExitStack, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path, "--requirepass", "one")
    stack.enter_context(server)
    password = tmp_path / "password"
    password.write_text("one\n")
    url = server.url.replace("//", "//default:of-old@")

    async def go(state: State) -> None:
        await state.ask(Count("k", 60))
        server.says("-a", "one", "config", "set", "requirepass", "two")
        server.says("-a", "two", "client", "kill", "type", "normal")
        with pytest.raises(Unavailable, match="password"):
            await state.ask(Count("k", 60))
        password.unlink()
        with pytest.raises(Unavailable, match="password's file"):
            await state.ask(Count("k", 60))
        password.write_text("two\n")
        assert await state.ask(Count("k", 60)) == 2

    with_state(Settings(url=url, password_file=password), go)


def test_settings_that_do_not_fit_are_refused_with_a_hint(tmp_path: Path) -> None:
    for settings, words in (
        (Settings(url="redis://x/0", sentinels=("a:1",)), "no state.master"),
        (Settings(url="redis://x/0", sentinels=("a",), master="m"), "no HOST:PORT"),
        (Settings(url="redis://x/0", tls_ca=tmp_path / "ca.pem"), "is not encrypted"),
        (Settings(url="rediss://x/0", tls_ca=tmp_path / "ca.pem"), "TLS files cannot be used"),
        (Settings(url="redis://x/0", password_file=tmp_path / "none"), "password_file"),
        (Settings(url="mysql://x"), "is no store"),
    ):
        with pytest.raises(Misconfigured, match=words):
            open_state(settings, lambda path: path)


def test_a_key_that_holds_what_is_not_ours_takes_no_other_key_with_it(
    stack: ExitStack, tmp_path: Path
) -> None:
    server = stack.enter_context(RedisServer(tmp_path))
    settings = Settings(url=server.url)
    with_state(settings, lambda state: state.ask(TakeTokens("k", 1, 2)))
    (key,) = server.says("keys", "*").split()
    server.says("set", key, "somebody else's")
    server.says("hset", key.replace("k}", "torn}"), "until", "9999999999", "tokens", "some")
    breaker = Breaker("state", server.url)

    async def work() -> list[bool]:
        state = open_state(settings, lambda path: path, breaker=breaker)
        for _ in range(2 * breaker.terms.failures):
            with pytest.raises(Declined, match="WRONGTYPE"):
                await state.ask(TakeTokens("k", 1, 2))
        took = [(await state.ask(TakeTokens(name, 1, 2))).allowed for name in ("torn", "another")]
        await state.close()
        return took

    assert asyncio.run(work()) == [True, True]
    assert breaker.openings == 0
