"""Beside a real Postfix: what breaks, and what must not be lost when it does."""

from __future__ import annotations

import contextlib
import re
import signal
import smtplib
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import free_port, listens, needs, wait_for
from live.parties import CLEAN, Millrace, clamd, header, send, session, settle
from live.sites import ARCHIVE, GOOD, ODD, SETTINGS, Site, decided, engine, mail

ANN = "ann@rcpt.example"
GREYLIST = """
[[filter]]
use = "greylist"
wait = "1h"
on_error = "{on_error}"
"""
VIRUS = """
[[filter]]
use = "virus"
socket = "{socket}"
on_error = "defer"
"""
POLICY = """
[[rule]]
name = "word"
when = "lookaround.helo == 'never.example'"
then = "reject"
reply = "550 5.7.1 {words}"
why = "a test"
"""


@pytest.fixture(scope="module")
def standing(root: None, new_folder: Callable[[str], Path]) -> Iterator[Site]:
    """Everything, with the daemon at one port through all its lives."""
    settings = SETTINGS.replace("inet:0@127.0.0.1", f"inet:{free_port()}@127.0.0.1", 1)
    folder = new_folder("faults") / "here"
    millrace = engine(folder, ODD + ARCHIVE, settings=settings, policy="word")
    write_policy(millrace, "Not today")
    made = Site(millrace.start())
    yield made
    made.close()


@pytest.fixture
def site(standing: Site) -> Site:
    """The same with the daemon up, whatever a test did to it."""
    millrace = standing.millrace
    millrace.kill()
    write_policy(millrace, "Not today")
    millrace.start()
    return standing


def write_policy(millrace: Millrace, words: str) -> None:
    path = millrace.folder / "policies" / "word.toml"
    path.write_text(POLICY.replace("{words}", words))


def code_of(port: int, raw: bytes, sender: str = "a@good.example") -> int:
    """The final answer to one mail."""
    try:
        with session(port, ip=GOOD) as smtp:
            smtp.sendmail(sender, [ANN], raw)
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code
    except smtplib.SMTPRecipientsRefused as refused:
        return next(iter(refused.recipients.values()))[0]
    except smtplib.SMTPServerDisconnected:
        return 421
    return 250


def subjects(site: Site) -> Counter[str]:
    """How often each mail arrived."""
    return Counter(name for mail in site.sink.mails() for name in header(mail.raw, "Subject"))


# --- the daemon itself


def test_a_daemon_killed_in_mid_mail_loses_and_doubles_nothing(site: Site) -> None:
    large = mail("cut-short") + b"0123456789012345678901234567890123456789\r\n" * 4000
    with session(site.port, ip=GOOD) as smtp:
        smtp.mail("a@good.example")
        smtp.rcpt(ANN)
        assert smtp.docmd("DATA")[0] == 354
        smtp.send(large[:100_000])
        site.millrace.kill()
        smtp.send(large[100_000:] + b".\r\n")
        code, _ = smtp.getreply()
        assert 400 <= code < 500
    assert code_of(site.port, large) // 100 == 4
    site.millrace.start()
    assert code_of(site.port, large) == 250
    site.arrived("cut-short")
    assert sum(b"Subject: cut-short\r\n" in each for each in site.millrace.archived()) == 1


def test_a_kill_under_load_leaves_every_accepted_mail_in_sink_and_archive(site: Site) -> None:
    def client(number: int) -> None:
        for turn in range(6):
            raw = mail(f"load-{number}-{turn}", "wait=0.05")
            settle(lambda raw=raw: code_of(site.port, raw) == 250, "acceptance")

    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(client, number) for number in range(4)]
        settle(lambda: len(loaded(site)) >= 6, "the load")
        site.millrace.kill()
        site.millrace.start()
        for each in running:
            each.result()
    wanted = {f"load-{number}-{turn}": 1 for number in range(4) for turn in range(6)}
    settle(lambda: loaded(site) == wanted, "each mail once at the sink")
    kept = Counter(name for raw in site.millrace.archived() for name in header(raw, "Subject"))
    assert set(wanted) <= set(kept)


def loaded(site: Site) -> dict[str, int]:
    return {name: count for name, count in subjects(site).items() if name.startswith("load-")}


def test_mail_is_deferred_while_the_daemon_is_down(site: Site) -> None:
    site.millrace.stop()
    assert code_of(site.port, mail("down")) == 451
    site.millrace.start()
    assert code_of(site.port, mail("up-again")) == 250
    assert subjects(site)["down"] == 0


def test_an_orderly_stop_lets_the_mail_under_way_end(site: Site) -> None:
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(code_of, site.port, mail("under-way", "wait=1"), "w@good.example")
        settle(lambda: _in_queue_file(site), "the mail under way")
        began = site.millrace.process
        assert began is not None
        began.send_signal(signal.SIGTERM)
        assert under_way.result() == 250
        assert began.wait(10) == 0
    site.arrived("under-way")
    assert decided(site.millrace, lambda each: each["from"] == "w@good.example")["action"] == "pass"


def _in_queue_file(site: Site) -> bool:
    """Whether Postfix has a mail that it has not accepted yet."""
    return any(path.is_file() for path in (site.postfix.folder / "queue" / "incoming").iterdir())


def test_an_orderly_stop_does_not_wait_for_clients_that_idle(site: Site) -> None:
    with session(site.port, ip=GOOD) as smtp:
        smtp.sendmail("a@good.example", [ANN], mail("before-the-stop"))
        assert site.millrace.process is not None
        site.millrace.process.send_signal(signal.SIGTERM)
        assert site.millrace.process.wait(5) == 0
        with contextlib.suppress(smtplib.SMTPException):
            assert smtp.docmd("MAIL FROM:<b@good.example>")[0] // 100 == 4


# --- reload


def test_a_reload_in_mid_traffic_changes_the_verdict_and_drops_no_mail(site: Site) -> None:
    assert site.millrace.process is not None
    codes: list[int] = []

    def client() -> None:
        codes.extend(code_of(site.port, mail(f"flow-{turn}")) for turn in range(12))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client)
        for turn in range(3):
            write_policy(site.millrace, f"Not on day {turn}")
            site.millrace.process.send_signal(signal.SIGHUP)
            settle(lambda turn=turn: reloads(site) == turn + 1, "the reload")
        running.result()
    assert codes == [250] * 12
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        send(site.port, mail("new-rule"), "a@good.example", ANN, ip=GOOD, helo="never.example")
    assert refused.value.smtp_error == b"5.7.1 Not on day 2"


def reloads(site: Site) -> int:
    return site.millrace.said().count(" serves, ")


def test_a_broken_policy_is_refused_and_the_old_one_serves_on(site: Site) -> None:
    assert site.millrace.process is not None
    path = site.millrace.folder / "policies" / "word.toml"
    path.write_text(POLICY.replace("lookaround.helo", "lookaround.hello"))
    site.millrace.process.send_signal(signal.SIGHUP)
    settle(lambda: "reload refused" in site.millrace.said(), "the refusal")
    assert re.search(r"word\.toml:4:\d+.*hello", site.millrace.said())
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        send(site.port, mail("old-rule"), "a@good.example", ANN, ip=GOOD, helo="never.example")
    assert refused.value.smtp_error == b"5.7.1 Not today"


# --- services


@pytest.mark.parametrize(("on_error", "code"), [("defer", 4), ("skip", 2)])
def test_without_redis_the_greylist_follows_its_on_error(
    root: None, new_folder: Callable[[str], Path], on_error: str, code: int
) -> None:
    port, folder = free_port(), new_folder("redis")
    settings = SETTINGS + f'[state]\nurl = "redis://127.0.0.1:{port}/0"\n'
    redis = start_redis(port, folder)
    pipeline = GREYLIST.format(on_error=on_error)
    site = Site(engine(folder / "here", pipeline, settings=settings).start())
    try:
        assert code_of(site.port, mail("greylisted")) == 450
        redis.kill()
        redis.wait()
        assert code_of(site.port, mail("without-redis")) // 100 == code
        redis = start_redis(port, folder)
        assert code_of(site.port, mail("greylisted-again")) == 450
    finally:
        site.close()
        redis.kill()
        redis.wait()


def start_redis(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """A Redis that remembers nothing."""
    program = needs("redis-server", "redis-server")
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([program, *arguments], env=CLEAN, stdout=subprocess.DEVNULL)
    wait_for(lambda: listens(port), "redis-server")
    return process


def test_without_clamd_mail_is_deferred_and_taken_when_it_is_back(
    root: None, new_folder: Callable[[str], Path]
) -> None:
    folder = new_folder("clamd")
    scanner, path = clamd(folder / "clamd")
    site = Site(engine(folder / "here", VIRUS.format(socket=path)).start())
    try:
        assert code_of(site.port, mail("scanned")) == 250
        scanner.kill()
        scanner.wait()
        assert code_of(site.port, mail("not-scanned")) // 100 == 4
        path.unlink(missing_ok=True)
        scanner, _ = clamd(folder / "clamd")
        settle(lambda: _answers(path), "clamd")
        assert code_of(site.port, mail("scanned-again")) == 250
        assert subjects(site)["not-scanned"] == 0
    finally:
        site.close()
        scanner.kill()
        scanner.wait()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
