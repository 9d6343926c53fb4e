"""What goes over from one supervisor to the next, and what systemd and the host are told."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.workers import handover, privileges
from millrace.engine.workers.handover import Estate, Rehearsal, Ward
from millrace.engine.workers.notify import Notify

HEIR = """
import os, signal, sys
from millrace.engine.workers import handover
estate = handover.inherited(os.environ)
ward, = estate.wards
((key, socks),) = estate.doors.items()
print(ward.pid, ward.slot, ward.leaving, ward.halves, ward.counted, key, estate.restarts)
print(socks[0].getsockname()[1], socks[0].getblocking(), ward.sock.recv(9))
print(handover.VARIABLE in os.environ, os.get_inheritable(socks[0].fileno()))
print(*[signal.getsignal(each) is signal.SIG_IGN for each in (signal.SIGHUP, signal.SIGUSR2)])
"""


def test_successor_finds_children_doors_and_counters(tmp_path: Path):
    script = tmp_path / "heir.py"
    script.write_text(HEIR)
    door = socket.create_server(("127.0.0.1", 0))
    ours, theirs = socket.socketpair()
    theirs.sendall(b"a message")
    ward = Ward(77, 1, ours, True, (b"{", b"\xff"), [["mails", "", "counter", []]])
    estate = Estate([ward], {("inet:0@127.0.0.1", 0): [door]}, [], 3)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1)
        handover.bequeath(estate, [sys.executable, str(script)])
    os.close(write)
    with os.fdopen(read) as said:
        lines = said.read().splitlines()
    os.waitpid(pid, 0)
    assert lines == [
        "77 1 True (b'{', b'\\xff') [['mails', '', 'counter', []]] ('inet:0@127.0.0.1', 0) 3",
        f"{door.getsockname()[1]} False b'a message'",
        "False False",
        "True True",
    ]
    for sock in (door, ours, theirs):
        sock.close()


def test_version_that_cannot_be_executed_leaves_everything_as_it_was():
    before = signal.getsignal(signal.SIGHUP)
    with socket.create_server(("127.0.0.1", 0)) as door:
        estate = Estate([], {("x", 0): [door]}, [], 0)
        with pytest.raises(OSError, match="No such file"):
            handover.bequeath(estate, ["/nowhere/python"])
        assert not os.get_inheritable(door.fileno())
        assert handover.VARIABLE not in os.environ
    assert signal.getsignal(signal.SIGHUP) is before


def rehearsed(code: str) -> str:
    rehearsal = Rehearsal([sys.executable, "-c", code])
    rehearsal._process.wait()
    problem = rehearsal.problem()
    assert problem is not None
    return problem


def test_rehearsal_tells_what_is_wrong_with_the_new_version():
    assert rehearsed("import sys; assert sys.argv[1:] == ['--rehearse']") == ""
    assert rehearsed("import sys; sys.exit('settings.toml:3 is wrong')") == (
        "settings.toml:3 is wrong"
    )
    assert rehearsed("import sys; sys.exit(2)") == "the new version ended with status 2"


def test_rehearsal_knows_which_doors_are_open_already():
    code = "import os; from millrace.engine.workers.handover import held; exit(held(os.environ))"
    rehearsal = Rehearsal([sys.executable, "-c", code], [("inet:0@127.0.0.1", 1)])
    rehearsal._process.wait()
    assert rehearsal.problem() == "{('inet:0@127.0.0.1', 1)}"
    assert handover.held({}) is None


def test_nothing_is_inherited_by_a_first_start():
    assert handover.inherited({}) is None


# --- systemd


@pytest.mark.parametrize("form", ["path", "abstract"])
def test_systemd_is_told_what_happens(tmp_path: Path, form: str):
    path = str(tmp_path / "notify") if form == "path" else f"\0millrace-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(5)
        notify = Notify({"NOTIFY_SOCKET": path.replace("\0", "@"), "WATCHDOG_USEC": "20000000"})
        notify.say("READY=1", "STATUS=fine")
        assert manager.recv(100) == b"READY=1\nSTATUS=fine"
        notify.reloading()
        assert manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        for now in (100.0, 105.0, 110.0):
            notify.alive(now)
        assert [manager.recv(100), manager.recv(100)] == [b"WATCHDOG=1"] * 2
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


def test_without_systemd_nobody_is_told():
    notify = Notify({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    notify.say("READY=1")
    assert notify.interval == 0


# --- privileges


def test_user_that_is_not_there_is_named():
    with pytest.raises(Misconfigured, match="there is no user 'nobody-knows'"):
        privileges.become("nobody-knows", "")
    with pytest.raises(Misconfigured, match="there is no group 'nobody-knows'"):
        privileges.become("", "nobody-knows")


ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@ROOT
def test_user_who_may_not_read_the_program_is_refused(tmp_path: Path):
    tmp_path.chmod(0o700)
    code = (
        "from pathlib import Path\n"
        "from millrace.engine.workers import privileges\n"
        f"privileges._PROGRAM = Path({str(tmp_path)!r})\n"
        "try: privileges.become('nobody', '')\n"
        "except privileges.Misconfigured as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"nobody may not read the program in {tmp_path}\n")


@ROOT
@pytest.mark.usefixtures("open_checkout")
def test_root_is_given_up_for_good():
    code = (
        "import os, resource\n"
        "from millrace.engine.workers import privileges\n"
        "privileges.become('nobody', '')\n"
        "print(os.getresuid(), os.getresgid()[0] != 0, 0 in os.getgroups())\n"
        "try: os.setuid(0)\n"
        "except PermissionError: print('for good')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    uid = done.stdout.partition(")")[0]
    assert len(set(uid.strip("(").split(", "))) == 1
    assert not uid.startswith("(0")
    assert done.stdout.splitlines()[0].endswith("True False")
    assert done.stdout.endswith("for good\n")


def test_identity_that_we_have_already_needs_no_right():
    privileges.become("", "")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 0
