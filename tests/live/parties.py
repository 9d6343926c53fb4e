"""The real parties of live tests: started here on free ports, with files of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import tree
from conftest import free_port, listens, needs, wait_for

from millrace.engine.store.archive import Archive

CHECKOUT = Path(__file__).resolve().parent.parent.parent
MILLRACE = [sys.executable, "-c", "from millrace.engine.cli import main; main()"]
CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
if "PYTHONPATH" in os.environ:  # another checkout than the installed one is under test
    CLEAN["PYTHONPATH"] = os.environ["PYTHONPATH"]
_LISTENING = re.compile(r"^listening (\w+) (\S+)", re.M)


def _whole_lines(path: Path) -> bytes:
    """What stands there; the end of a line that is being written may not be seen yet."""
    text = path.read_bytes() if path.exists() else b""
    return text[: text.rfind(b"\n") + 1]


class Millrace:
    """The daemon, from a folder of settings, pipelines and policies."""

    def __init__(self, folder: Path, settings: str, **files: str) -> None:
        self.folder = folder
        self.log = folder / "stderr.log"
        (folder / "millrace.toml").write_text(settings)
        for name, text in files.items():
            path = folder / name.replace("__", "/").replace("_toml", ".toml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.environment = dict(CLEAN)
        self.process: subprocess.Popen[bytes] | None = None
        self._began = 0  # where the log of this life begins

    def start(self) -> Millrace:
        """Start and wait for `ready`."""
        self._began = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*MILLRACE, "run", "--config", "millrace.toml", "--log", "json"],
                cwd=self.folder,
                stderr=out,
                env=self.environment,
            )
        wait_for(self._ready, f"millrace run: {self.log}")
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"millrace ended: {self.log.read_text()}")
        return "\nready\n" in self.said()

    def said(self) -> str:
        """What it logged since it was started."""
        return _whole_lines(self.log)[self._began :].decode()

    def port(self, kind: str, number: int = 0) -> int:
        """The port of the n-th door of a kind."""
        found = [where for what, where in _LISTENING.findall(self.said()) if what == kind]
        return int(re.findall(r":(\d+)@", found[number])[0])

    def decisions(self) -> list[dict[str, Any]]:
        """What was decided so far."""
        lines = _whole_lines(self.folder / "decisions.jsonl").splitlines()
        return [json.loads(line) for line in lines]

    def command(self, *arguments: str) -> bytes:
        """Another command over the same folder."""
        command, env = [*MILLRACE, *arguments], self.environment
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, check=True)
        return done.stdout

    def archived(self) -> list[bytes]:
        """Every mail of the archive."""
        archive = Archive(self.folder / "archive")  # a process for each mail would take long
        return [archive.content(entry.sha256) for entry in archive.entries()]

    def kept(self, sha256: str) -> bytes:
        """One mail of the archive."""
        return self.command("archive", "cat", sha256)

    def kill(self) -> None:
        """End all its processes at once, as a crash of the host would."""
        assert self.process is not None
        for pid in tree([self.process.pid]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End in order; the exit status."""
        if self.process is None or self.process.poll() is not None:
            return -1
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.rcpt.example
mydestination =
mynetworks = 192.0.2.200/32
inet_interfaces = 127.0.0.1
inet_protocols = all
relay_domains = rcpt.example
relay_transport = smtp:[127.0.0.1]:{sink}
local_recipient_maps =
alias_maps =
alias_database =
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
in_flow_delay = 0
minimal_backoff_time = 1s
queue_run_delay = 1s
milter_default_action = tempfail
milter_connect_timeout = 5s
milter_command_timeout = 30s
smtpd_milters = {milters}
smtp_tls_security_level = none
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
{more}
"""
MASTER_CF = """
127.0.0.1:{port} inet n - n - 100 smtpd{proxy}
postlog   unix-dgram n - n - 1 postlogd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
tlsmgr    unix - - n 1000? 1 tlsmgr
{more}
"""


@dataclass
class Sunk:
    """One mail as the sink took it."""

    sender: str
    recipients: list[str]
    raw: bytes


@dataclass
class Sink:
    """Postfix's own smtp-sink: takes every mail and writes it to a file."""

    folder: Path
    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    _known: dict[tuple[str, int, int], Sunk] = field(default_factory=dict)

    def start(self) -> Sink:
        program = needs("smtp-sink", "postfix")
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.chown(self.folder, "postfix", "postfix")
        where = ["-d", f"{self.folder}/%M.", "-u", "postfix", f"127.0.0.1:{self.port}", "128"]
        self.process = subprocess.Popen([program, *self.options, *where], env=CLEAN)
        wait_for(lambda: listens(self.port), "smtp-sink")
        return self

    def mails(self) -> list[Sunk]:
        """What has come so far, in no certain order."""
        return [self._read(path) for path in sorted(self.folder.iterdir()) if self._whole(path)]

    def _whole(self, path: Path) -> bool:
        return path.stat().st_size > 0

    def _read(self, path: Path) -> Sunk:
        status = path.stat()
        state = (path.name, status.st_size, status.st_mtime_ns)
        if state not in self._known:  # large mails are looked at many times
            self._known[state] = self._parsed(path)
        return self._known[state]

    def _parsed(self, path: Path) -> Sunk:
        text = path.read_bytes()
        head, _, rest = text.partition(b"\nReceived: ")
        # the sink's own trace field is three lines long; no filter could know it
        rest = rest.split(b"\n", 3)[3] if rest else text
        sender = re.findall(rb"X-Mail-Args: <(.*?)>", head)
        recipients = re.findall(rb"X-Rcpt-Args: <(.*?)>", head)
        # the dump ends with an empty line of its own
        raw = re.sub(rb"(?<!\r)\n", b"\r\n", rest.removesuffix(b"\n"))
        return Sunk(b"".join(sender).decode(), [each.decode() for each in recipients], raw)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


class Postfix:
    """A private instance: own queue, own configuration, own port."""

    def __init__(
        self,
        folder: Path,
        milters: str,
        sink: Sink,
        *,
        more: str = "",
        proxy: str = "",
        master: str = "",
    ) -> None:
        needs("postfix", "postfix")
        self.folder, self.sink = folder, sink
        self.port = free_port()
        self.conf = folder / "conf"
        for part in ("conf", "queue", "data", "log"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for path in (folder.parent.parent, folder.parent, folder):
            path.chmod(path.stat().st_mode | 0o755)
        shutil.chown(folder / "data", "postfix", "postfix")
        values = {"folder": folder, "sink": sink.port, "milters": milters, "more": more}
        (self.conf / "main.cf").write_text(MAIN_CF.format(**values))
        text = MASTER_CF.format(port=self.port, proxy=proxy, more=master)
        (self.conf / "master.cf").write_text(text)

    def start(self) -> Postfix:
        self._postfix("start")
        wait_for(lambda: listens(self.port), "postfix")
        return self

    def stop(self) -> None:
        self._postfix("stop")

    def _postfix(self, verb: str) -> None:
        done = subprocess.run(
            ["/usr/sbin/postfix", "-c", str(self.conf), verb], env=CLEAN, capture_output=True
        )
        if done.returncode and verb == "start":
            raise AssertionError(done.stderr.decode())

    def queue(self) -> list[dict[str, Any]]:
        """What lies in the queue."""
        done = subprocess.run(
            ["/usr/sbin/postqueue", "-c", str(self.conf), "-j"], env=CLEAN, capture_output=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def log(self) -> str:
        """The mail log."""
        path = self.folder / "log" / "maillog"
        return path.read_text() if path.exists() else ""


def session(
    port: int, *, ip: str = "", helo: str = "client.example", login: str = ""
) -> smtplib.SMTP:
    """A conversation with an MTA, as if from `ip` (XCLIENT)."""
    smtp = smtplib.SMTP("127.0.0.1", port, local_hostname=helo, timeout=60)
    smtp.ehlo(helo)
    if ip:
        impersonate(smtp, ip, login)
    return smtp


def impersonate(smtp: smtplib.SMTP, ip: str, login: str = "") -> None:
    """Go on as somebody else (XCLIENT)."""
    addr = f"IPV6:{ip}" if ":" in ip else ip
    words = f"ADDR={addr} NAME=[UNAVAILABLE]" + (f" LOGIN={login}" if login else "")
    code, text = smtp.docmd("XCLIENT", words)
    assert code == 220, (code, text)
    smtp.ehlo(smtp.local_hostname)


def send(
    port: int, raw: bytes, sender: str, *recipients: str, **where: str
) -> dict[str, tuple[int, bytes]]:
    """Send one mail; the refused recipients, or the refusal as an exception."""
    with session(port, **where) as smtp:
        return smtp.sendmail(sender, recipients, raw)


EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def clamd(folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """A real clamd with one local signature, for EICAR."""
    program = needs("clamd", "clamav-daemon")
    database = folder / "db"
    database.mkdir(parents=True, exist_ok=True)
    pattern = EICAR.encode().hex()
    (database / "local.ndb").write_text(f"Eicar-Test-Signature:0:*:{pattern}\n")
    socket = folder / "clamd.ctl"
    (folder / "clamd.conf").write_text(
        f"Foreground yes\nDatabaseDirectory {database}\nLocalSocket {socket}\n"
        f"LocalSocketMode 666\nLogFile {folder}/clamd.log\nTemporaryDirectory {folder}\n"
        "StreamMaxLength 26M\nMaxThreads 4\n"
    )
    command = [program, "--config-file", str(folder / "clamd.conf")]
    process = subprocess.Popen(
        command, env=CLEAN, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(socket.exists, "clamd", 40)
    return process, socket


def settle(ready: Any, what: str, seconds: float = 20.0) -> None:
    """Wait for something that happens by itself."""
    wait_for(ready, what, seconds)


def header(raw: bytes, name: str) -> list[str]:
    """All values of a field, unfolded."""
    head = raw.partition(b"\r\n\r\n")[0] + b"\r\n"
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", head)
    found = re.findall(rb"(?mi)^" + re.escape(name.encode()) + rb":[ \t]*(.*?)\r$", unfolded)
    return [each.decode("utf-8", "replace") for each in found]


def now() -> float:
    """The time."""
    return time.time()


Environment = Mapping[str, str]
