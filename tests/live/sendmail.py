"""Sendmail from Debian's packages, unpacked and run beside Postfix in namespaces of its own.

The package cannot be installed next to Postfix.  Without a host name that resolves it
hangs before it listens, so it gets an /etc/hosts and a host name that only it sees.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import free_port, listens, needs, wait_for
from live.parties import CLEAN

PACKAGES = ("sendmail-bin", "sendmail-base", "sendmail-cf")
LIBRARIES = ("libwrap0", "libldap-2.5-0", "libnsl2", "libtirpc3")  # unpacked beside it, too
LEADING_SPACE = 0x100000  # SMFIP_HDR_LEADSPC in the offer
MC = """divert(-1)
define(`_CF_DIR_', `{root}/usr/share/sendmail/cf/')
include(`{root}/usr/share/sendmail/cf/m4/cf.m4')
OSTYPE(`linux')
define(`ALIAS_FILE', `')
define(`QUEUE_DIR', `{folder}/queue')
define(`confPID_FILE', `{folder}/sendmail.pid')
define(`STATUS_FILE', `{folder}/statistics')
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe')
define(`confTRUSTED_USER', `root')
define(`confDEF_USER_ID', `mail:mail')
define(`confTO_IDENT', `0s')
define(`confREFUSE_LA', `0')
define(`confQUEUE_LA', `1000')
define(`confDELIVERY_MODE', `interactive')
define(`SMART_HOST', `esmtp:[127.0.0.1]')
define(`ESMTP_MAILER_ARGS', `TCP $h {sink}')
FEATURE(`no_default_msa')
FEATURE(`accept_unresolvable_domains')
FEATURE(`nocanonify')
FEATURE(`promiscuous_relay')
DAEMON_OPTIONS(`Name=New, Addr=127.0.0.1, Port={port}, InputMailFilters=millrace')
DAEMON_OPTIONS(`Name=Old, Addr=127.0.0.1, Port={old_port}, InputMailFilters=oldstyle')
MAIL_FILTER(`millrace', `S=inet:{milter}@127.0.0.1, F=T, T=S:20s;R:20s;E:1m')
MAIL_FILTER(`oldstyle', `S=inet:{proxy}@127.0.0.1, F=T, T=S:20s;R:20s;E:1m')
MAILER(`smtp')
"""


def unpacked(folder: Path) -> Path:
    """The packages' files under a folder; skips, or fails in CI, where they cannot be had."""
    needs("m4", "m4")
    needs("dpkg", "dpkg")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)  # apt fetches as a user of its own
    command = ["apt-get", "download", "-q", *PACKAGES, *LIBRARIES]
    done = subprocess.run(command, cwd=folder, env={**CLEAN, **_proxies()}, capture_output=True)
    if done.returncode:
        words = f"Sendmail's packages cannot be fetched: {done.stderr.decode().strip()[-200:]}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(words)
    root = folder / "root"
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
    program = root / "usr/libexec/sendmail/sendmail"
    program.chmod(0o755)  # no set-group-id: it is started as root
    return root


def _proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}


def _libraries(root: Path) -> str:
    folders = {path.parent for path in root.rglob("lib*.so.*")}
    return ":".join(sorted(map(str, folders)))


class Bridge:
    """Between Sendmail and the daemon: takes HDR_LEADSPC out of every offer."""

    def __init__(self, milter: int) -> None:
        self._milter = milter
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                mta, _ = self._server.accept()
            except OSError:
                return
            daemon = socket.create_connection(("127.0.0.1", self._milter))
            # length (4), "O" (1), version (4), actions (4), protocol (4)
            offer = bytearray(mta.recv(17, socket.MSG_WAITALL))
            flags = int.from_bytes(offer[13:17], "big") & ~LEADING_SPACE
            daemon.sendall(bytes(offer[:13]) + flags.to_bytes(4, "big"))
            for pair in ((mta, daemon), (daemon, mta)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with source:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            target.close()


@dataclass
class Sendmail:
    """A daemon with two doors: `port` offers all, `old_port` no HDR_LEADSPC."""

    root: Path
    folder: Path
    milter: int
    sink: int
    port: int = field(default_factory=free_port)
    old_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    bridge: Bridge | None = None

    def start(self) -> Sendmail:
        """Compile the configuration, make the namespaces, and listen."""
        (self.folder / "queue").mkdir(parents=True)
        self.bridge = Bridge(self.milter)
        (self.folder / "hosts").write_text("127.0.0.1 mx.rcpt.example mx localhost\n")
        config = self._compiled()
        program = self.root / "usr/libexec/sendmail/sendmail"
        script = (
            f"hostname mx.rcpt.example; mount --bind {self.folder}/hosts /etc/hosts; "
            f"exec {program} -C {config} -bD -q1s"
        )
        self.process = subprocess.Popen(
            [needs("unshare", "util-linux"), "-m", "-u", "sh", "-c", script],
            env={**CLEAN, "LD_LIBRARY_PATH": _libraries(self.root)},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(lambda: listens(self.port) and listens(self.old_port), "sendmail")
        return self

    def _compiled(self) -> Path:
        ports = {"port": self.port, "old_port": self.old_port, "sink": self.sink}
        filters = {"milter": self.milter, "proxy": self.bridge.port if self.bridge else 0}
        text = MC.format(root=self.root, folder=self.folder, **ports, **filters)
        (self.folder / "x.mc").write_text(text)
        command = ["m4", str(self.folder / "x.mc")]
        done = subprocess.run(command, env=CLEAN, capture_output=True, check=True)
        config = self.folder / "x.cf"
        config.write_bytes(done.stdout)
        return config

    def queued(self) -> list[str]:
        """Texts of the queue's envelopes: `qf` waits, `hf` is held."""
        found = sorted((self.folder / "queue").glob("[qh]f*"))
        return [path.name[:2] + " " + path.read_text("latin-1") for path in found]

    def stop(self) -> None:
        """End it with its children."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.bridge is not None:
            self.bridge.close()
