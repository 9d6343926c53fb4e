"""Several workers under one supervisor, seen from outside: nothing is lost, nothing twice."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port, wait_for
from live.overseen import Overseen
from live.parties import CHECKOUT
from live.senders import MAIL, Senders, Sent

ROUNDS = int(os.environ.get("MILLRACE_ROUNDS", "6"))
SETTINGS = """
profile = "production"
workers = 2
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
[[listener]]
kind = "smtp"
address = "inet:{port}@127.0.0.1"
deliver = "maildir:Maildir"
[http]
address = "inet:0@127.0.0.1"
[dns]
zone = "zone.json"
[log]
decisions = "decisions.jsonl"
[limits]
hung = "3s"
drain = "10s"
{more}
"""
PIPELINE = 'policy = "own"\n[[filter]]\nuse = "spf"\n[[filter]]\nuse = "archive"\n'
# each round's policy names itself in what it decides: a mail of two plans would show two
POLICY = """
[[rule]]
name = "round-{n}"
when = "helo.name == 'client.example'"
then = "tag"
"""


class Daemon(Overseen):
    """Two workers, a milter door, an SMTP door, an archive."""

    def __init__(self, folder: Path, more: str = "", port: int = 0, head: str = "") -> None:
        files = {"zone.json": "{}", "pipelines__inbound_toml": PIPELINE}
        settings = head + SETTINGS.format(more=more, port=port)
        super().__init__(folder, settings, **files)
        self.policy(0)

    def policy(self, n: int) -> None:
        path = self.folder / "policies" / "own.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(POLICY.format(n=n))

    def workers(self) -> list[dict[str, Any]]:
        """Those that serve."""
        found: list[dict[str, Any]] = self.page("/status")[1]["workers"]
        return [worker for worker in found if worker["phase"] == "serving"]

    def pids(self) -> set[int]:
        return {worker["pid"] for worker in self.workers()}

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def senders(self) -> Senders:
        smtp, milter = self.port("smtp"), self.port("milter")
        return Senders([("smtp", smtp), ("smtp", smtp), ("milter", milter), ("milter", milter)])

    def check(self, sent: Sent) -> None:
        """Every mail that was taken was decided once, and stands in the archive once."""
        decided = Counter(record["from"] for record in self.decisions())
        assert max(decided.values()) == 1
        missing = [n for n in sent.taken if f"n{n}@good.example" not in decided]
        assert missing == []
        bodies = Counter(re.findall(rb"Number (\S+)\.", b"\n".join(self.archived())))
        assert [n for n in sent.taken if bodies[n.encode()] != 1] == []


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path)
    yield made.start()  # type: ignore[misc]
    made.stop()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_reloads_and_restarts_under_load_lose_mix_and_double_no_mail(daemon: Daemon) -> None:
    supervisor = daemon.pid
    seen = daemon.pids()
    with daemon.senders() as senders:
        for n in range(1, ROUNDS + 1):
            daemon.policy(n)
            assert daemon.page("/reload", "POST")[1]["result"] == "swapped"
            daemon.restarted()
            assert not seen & daemon.pids()
            seen |= daemon.pids()
        sent = senders.end()
    assert sent.troubles == {}
    assert len(sent.taken) > 20 * ROUNDS
    assert daemon.pid == supervisor
    assert alive(supervisor)
    counted = daemon.metric('millrace_mails_total{action="tag",pipeline="inbound"}')
    assert counted == len(sent.taken)
    assert daemon.stop() == 0
    daemon.check(sent)
    plans = {(record["revision"], record["because"]["rule"]) for record in daemon.decisions()}
    revisions, rules = ({pair[i] for pair in plans} for i in range(2))
    assert len(revisions) == len(rules) == len(plans) == ROUNDS + 1


def test_daemon_that_restarts_is_ready_all_the_while_and_no_counter_goes_back(
    daemon: Daemon,
) -> None:
    seen: list[tuple[int, float]] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            status, _ = daemon.page("/readyz")
            told = re.findall(
                r"^millrace_mails_total\{.*\} (\S+)$", daemon.page("/metrics")[1], re.M
            )
            seen.append((status, sum(map(float, told))))

    with daemon.senders() as senders:
        wait_for(lambda: len(senders.sent.taken) > 50, "some mails")
        looking = threading.Thread(target=look)
        looking.start()
        daemon.restarted()
        wait_for(lambda: len(daemon.workers()) == 2, "the old ones to leave", 60)
        over.set()
        looking.join()
        assert senders.end().troubles == {}
    counted = [count for _, count in seen]
    assert {status for status, _ in seen} == {200}
    assert counted == sorted(counted)
    assert counted[-1] > counted[0]


def test_reload_that_is_refused_is_refused_in_all_workers(daemon: Daemon) -> None:
    before = daemon.page("/status")[1]["revision"]
    (daemon.folder / "policies" / "own.toml").write_text("[[rule]]\nwhen = 'x'\n")
    status, told = daemon.page("/reload", "POST")
    assert (status, told["result"]) == (409, "refused")
    assert "own.toml" in told["problems"][0]
    status, told = daemon.page("/restart", "POST")
    assert (status, told["result"]) == (409, "refused")
    assert {w["revisions"]["inbound"] for w in daemon.workers()} == {before}


def test_worker_that_is_killed_is_replaced_and_no_accepted_mail_is_missing(daemon: Daemon) -> None:
    with daemon.senders() as senders:
        wait_for(lambda: len(senders.sent.taken) > 50, "some mails")
        victim = daemon.workers()[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: victim not in daemon.pids() and len(daemon.pids()) == 2, "a new worker")
        before = len(senders.sent.taken)
        wait_for(lambda: len(senders.sent.taken) > before + 50, "more mails")
        sent = senders.end()
    assert f"worker 0 (pid {victim}) ended by SIGKILL" in daemon.said()
    assert daemon.metric("millrace_worker_restarts_total") == 1
    assert daemon.stop() == 0
    bodies = Counter(re.findall(rb"Number (\S+)\.", b"\n".join(daemon.archived())))
    assert [n for n in sent.taken if bodies[n.encode()] != 1] == []


def test_worker_that_hangs_is_killed_and_replaced(daemon: Daemon) -> None:
    victim = daemon.workers()[1]["pid"]
    os.kill(victim, signal.SIGSTOP)
    wait_for(lambda: victim not in daemon.pids() and len(daemon.pids()) == 2, "a new worker", 30)
    assert "is killed: it was silent for" in daemon.said()
    with daemon.senders() as senders:
        wait_for(lambda: len(senders.sent.taken) > 50, "some mails")
    assert senders.sent.troubles == {}


def test_stop_lets_the_mail_under_way_end(daemon: Daemon) -> None:
    smtp = smtplib.SMTP("127.0.0.1", daemon.port("smtp"), "client.example", 20)
    smtp.ehlo()
    smtp.mail("nlate@good.example")
    smtp.rcpt("ann@rcpt.example")
    assert smtp.docmd("DATA")[0] == 354
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in daemon.said(), "the stop")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", daemon.port("smtp")), 1).recv(1)
    smtp.send(MAIL.format(number="late").encode() + b".\r\n")
    assert smtp.getreply()[0] == 250
    smtp.close()
    assert daemon.process.wait(20) == 0
    assert len(daemon.archived()) == 1


def test_workers_without_a_supervisor_end_and_free_their_ports(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, port=free_port())
    daemon.start()
    pids = daemon.pids()
    with daemon.senders() as senders:
        wait_for(lambda: len(senders.sent.taken) > 50, "some mails")
        assert daemon.process is not None
        daemon.process.kill()
        daemon.process.wait()
        wait_for(lambda: not any(map(alive, pids)), "the end of the workers", 30)
        taken = list(senders.sent.taken)
        senders._over.set()
    daemon.start()
    try:
        bodies = Counter(re.findall(rb"Number (\S+)\.", b"\n".join(daemon.archived())))
        assert [n for n in taken if bodies[n.encode()] != 1] == []
    finally:
        assert daemon.stop() == 0


def test_bounds_hold_for_all_workers_together(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, more="connections = 8\nper_client = 8")
    held: list[socket.socket] = []
    daemon.start()
    try:
        port = daemon.port("smtp")
        greetings = []
        for _ in range(16):  # one after the other: the bound is exact but for the same moment
            held.append(socket.create_connection(("127.0.0.1", port)))
            greetings.append(held[-1].recv(100)[:3])
        assert greetings == [b"220"] * 8 + [b"421"] * 8
        wait_for(lambda: daemon.page("/status")[1]["doors"][1]["connections"] == 8, "eight")
        assert daemon.metric('millrace_no_room_total{what="connections"}') == 8
    finally:
        for sock in held:
            sock.close()
        daemon.stop()


def test_workers_share_the_connections_of_a_unix_socket(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    path = tmp_path / "m.sock"
    text = (tmp_path / "millrace.toml").read_text()
    (tmp_path / "millrace.toml").write_text(
        text.replace(
            'kind = "milter"\naddress = "inet:0@127.0.0.1"',
            f'kind = "milter"\naddress = "unix:{path}"',
        )
    )
    daemon.start()
    held = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for sock in held:
            sock.connect(str(path))
        wait_for(lambda: sum(w["connections"] for w in daemon.workers()) == 20, "all of them")
        assert min(w["connections"] for w in daemon.workers()) >= 5
    finally:
        for sock in held:
            sock.close()
        daemon.stop()
    assert not path.exists()


def test_start_that_fails_ends_with_its_status_and_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon = Daemon(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(AssertionError, match="millrace ended"):
            daemon.start()
    assert daemon.process is not None
    assert daemon.process.wait(10) == 2
    assert "Traceback" not in daemon.said()
    assert "cannot listen on inet:" in daemon.said()


def test_service_that_can_never_work_ends_the_start(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    (tmp_path / "archive").write_text("no folder")
    with pytest.raises(AssertionError, match="millrace ended"):
        daemon.start()
    assert daemon.process is not None
    assert daemon.process.wait(10) == 3
    assert "Traceback" not in daemon.said()


@pytest.mark.usefixtures("root", "open_checkout")
def test_root_is_given_up_once_the_doors_are_open(
    new_folder: Callable[[str], Path],
) -> None:
    folder = new_folder("workers")
    daemon = Daemon(folder, head='user = "nobody"\n')
    folder.chmod(0o777)
    daemon.start()
    try:
        for pid in [daemon.pid, *daemon.pids()]:
            uids = re.search(r"^Uid:\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M)
            assert uids is not None
            assert "0" not in uids[1].split()
        with daemon.senders() as senders:
            wait_for(lambda: len(senders.sent.taken) > 20, "some mails")
        assert senders.sent.troubles == {}
        assert (folder / "archive").stat().st_uid != 0
    finally:
        daemon.stop()


def test_restart_that_could_not_begin_is_refused_and_everything_stays(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    daemon.start()
    settings = tmp_path / "millrace.toml"
    good = settings.read_text()
    taken = f'[[listener]]\nkind = "milter"\naddress = "inet:{daemon.port("milter")}@127.0.0.1"\n'
    tls = f'{taken}[[listener]]\nkind = "smtp"\naddress = "inet:0@127.0.0.1"\ndeliver = "maildir:M"'
    worse = {
        "Address already in use": good + taken,
        "Permission denied|Not a directory": good + taken.replace("inet:", "unix:/dev/null/"),
        "cannot be used for TLS": good
        + tls.replace(taken, "")
        + '\ntls_certificate = "none.pem"\n',
        "there is no user": 'user = "nobody-knows"\n' + good,
    }
    try:
        for told, text in worse.items():
            settings.write_text(text)
            status, answer = daemon.page("/restart", "POST")
            assert (status, answer["result"]) == (409, "refused")
            assert re.search(told, answer["problems"][0])
            assert len(daemon.pids()) == 2
        settings.write_text(good)
        daemon.restarted()
    finally:
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.said()


@pytest.mark.parametrize("number", [6, 14, 20])
def test_start_without_descriptors_says_how_many_it_takes(tmp_path: Path, number: int) -> None:
    daemon = Daemon(tmp_path)
    run = f'ulimit -n {number}; exec "$0" -c "$1" run'
    code = "from millrace.engine.cli import main; main()"
    done = subprocess.run(
        ["sh", "-c", run, sys.executable, code],
        cwd=tmp_path,
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"{number} file descriptors are allowed, 2 workers take")


# --- systemd


class Manager:
    """The notification socket of a service manager."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)
        self.heard: list[str] = []

    def until(self, word: str) -> str:
        while True:
            self.heard.append(self.socket.recv(4096).decode())
            if word in self.heard[-1]:
                return self.heard[-1]


def test_service_manager_is_told_of_every_step(tmp_path: Path) -> None:
    manager = Manager(tmp_path / "notify")
    daemon = Daemon(tmp_path)
    daemon.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    daemon.start()
    assert "STATUS=revision" in manager.until("READY=1")
    manager.until("WATCHDOG=1")
    assert daemon.process is not None
    daemon.policy(1)
    daemon.process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in manager.until("RELOADING=1")
    manager.until("READY=1")
    assert daemon.stop() == 0
    manager.until("STOPPING=1")
    manager.socket.close()


ACTIVATE = """
import os, socket, sys
sock = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def test_sockets_of_a_socket_unit_are_used_and_survive_a_restart(tmp_path: Path) -> None:
    port = free_port()
    daemon = Daemon(tmp_path, port=port)
    daemon._began = 0
    run = ["-c", "from millrace.engine.cli import main; main()", "run", "--log", "json"]
    with daemon.log.open("ab") as out:
        daemon.process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, str(port), *run],
            cwd=tmp_path,
            stderr=out,
            env=daemon.environment,
        )
    wait_for(daemon._ready, f"millrace run: {daemon.log}")
    with daemon.senders() as senders:
        wait_for(lambda: len(senders.sent.taken) > 20, "some mails")
        daemon.restarted()
        before = len(senders.sent.taken)
        wait_for(lambda: len(senders.sent.taken) > before + 20, "more mails")
    assert senders.sent.troubles == {}
    assert daemon.stop() == 0


def test_service_file_is_as_tight_as_it_can_be() -> None:
    """A hardened unit is a promise to those who install it: systemd itself counts."""
    unit = CHECKOUT / "contrib" / "systemd" / "millrace.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_COLORS": "0", "PATH": os.environ["PATH"]},
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= 1.5


def test_peers_that_never_come_to_the_point_are_let_go(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, more='idle = "2s"')
    daemon.start()
    talks = {
        "milter": b"\x00\x00\x00\x0dO",
        "smtp": b"EHLO ",
    }
    try:
        socks = {kind: socket.create_connection(("127.0.0.1", daemon.port(kind))) for kind in talks}
        for kind, sock in socks.items():
            sock.sendall(talks[kind])
        began = time.monotonic()
        ended: set[str] = set()
        while len(ended) < len(talks) and time.monotonic() - began < 20:
            for kind in set(socks) - ended:
                if not dripped(socks[kind]):
                    ended.add(kind)
        assert ended == set(talks)
        for sock in socks.values():
            sock.close()
    finally:
        daemon.stop()


def dripped(sock: socket.socket) -> bool:
    """Send one octet each half second; False once the other side has hung up."""
    sock.settimeout(0.5)
    try:
        sock.send(b"x")
        while data := sock.recv(1000):
            if b"421" in data:
                return False
    except TimeoutError:
        return True
    except OSError:
        return False
    return False
