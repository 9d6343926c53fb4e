"""Where a peer is set up: a folder, a core, the name server, and the helpers, each once."""

from __future__ import annotations

import functools
import hashlib
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .corpus import Corpus
from .stack import Absent, Stack, free_port

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
_REDIS = 'bind 127.0.0.1\nport {port}\nsave ""\nappendonly no\n'
_CLAMD = """\
Foreground yes
DatabaseDirectory {folder}/signatures
LocalSocket {folder}/clamd.sock
LocalSocketMode 666
TCPSocket {port}
TCPAddr 127.0.0.1
LogFile {folder}/clamd.out
MaxThreads 4
DisableCache yes
"""


@dataclass(frozen=True)
class Helper:
    """A server that filters ask: its port, its Unix socket where it has one, its process."""

    port: int
    path: str
    pid: int


class Site:
    """One run's folder; what is started here ends with its stack."""

    def __init__(self, stack: Stack, corpus: Corpus, servers: str) -> None:
        self.stack = stack
        self.folder = stack.folder
        self.corpus = corpus
        self.servers = servers

    @property
    def resolver(self) -> str:
        """The name server's address, at port 53."""
        address, _, port = self.servers.rpartition(":")
        if port != "5353":
            raise Absent("it asks the DNS at port 53, and unbound is not installed")
        return address

    def socket(self, name: str) -> str:
        """A Unix socket's path; C filters listen there, since libmilter waits on TCP."""
        return str(self.folder / f"{name}.sock")

    def write(self, name: str, text: str) -> str:
        """A settings file; its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    @functools.cached_property
    def redis(self) -> Helper:
        """redis-server, empty."""
        port = free_port()
        conf = self.write("redis.conf", _REDIS.format(port=port))
        pid = self.stack.start(["redis-server", conf], f"inet:{port}@127.0.0.1")
        return Helper(port, "", pid)

    @functools.cached_property
    def clamd(self) -> Helper:
        """clamd with a table of signatures that is not empty, but not the real one."""
        signatures = self.folder / "signatures"
        signatures.mkdir()
        (signatures / "bench.ndb").write_text(f"Bench.Eicar:0:*:{EICAR.hex()}\n")
        filler = (
            f"{hashlib.md5(b'%d' % n).hexdigest()}:{1000 + n}:Bench.{n}" for n in range(20000)
        )
        (signatures / "bench.hdb").write_text("\n".join(filler) + "\n")
        port = free_port()
        conf = self.write("clamd.conf", _CLAMD.format(folder=self.folder, port=port))
        pid = self.stack.start(["clamd", "-c", conf], f"inet:{port}@127.0.0.1")
        return Helper(port, str(self.folder / "clamd.sock"), pid)

    def give(self, path: Path, user: str) -> None:
        """Let a user own a folder; the way to it must be open."""
        try:
            pwd.getpwnam(user)
        except KeyError:
            raise Absent(f"there is no user {user}") from None
        for each in (path, *path.rglob("*")):
            shutil.chown(each, user, user)

    def run(self, command: Sequence[str]) -> None:
        """Run a command to its end."""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
            raise Absent(f"{Path(command[0]).name} fails: {said[0]}")

    def training(self, kind: str) -> Path:
        """A folder of mails to learn from: "ham" or "spam"."""
        folder = self.folder / "training" / kind
        if not folder.exists():
            folder.mkdir(parents=True)
            for number, raw in enumerate(self.corpus.training(kind)):
                (folder / f"{number}.eml").write_bytes(raw)
        return folder


def settle(seconds: float) -> None:
    """Let a peer finish what it does at its start."""
    time.sleep(seconds)
