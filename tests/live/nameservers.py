"""Real name servers: NSD holds three domains, unbound validates and answers what we ask.

`signed.example` is signed with DNSSEC and unbound holds its trust anchor; `bogus.example` is
signed too, and then changed; `plain.example` and the reverse zones are not signed.
"""

from __future__ import annotations

import datetime
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import dns.dnssec
import dns.rrset
import dns.zone
import dns.zonefile
from conftest import free_port, listens, needs, wait_for
from cryptography.hazmat.primitives.asymmetric import ec
from live.parties import CLEAN

SOA = "@ 300 IN SOA ns.plain.example. hostmaster.plain.example. 1 3600 600 86400 {minimum}\n"
NS = "@ 300 IN NS ns.plain.example.\n"
LONG = "".join(f'many 300 IN TXT "{n:02d} {"x" * 200}"\n' for n in range(30))
PLAIN = (
    SOA.format(minimum=77)
    + NS
    + LONG
    + """
ns      300 IN A 127.0.0.1
@       300 IN A 192.0.2.7
@       300 IN AAAA 2001:db8::7
@       300 IN MX 10 mail
@       300 IN TXT "v=spf1 ip4:192.0.2.7 " "-all"
_dmarc  300 IN TXT "v=DMARC1; p=reject"
mail    300 IN A 192.0.2.7
one     60  IN CNAME two
two     300 IN CNAME @
a.b.empty 300 IN A 192.0.2.8
"""
)
SIGNED = (
    SOA.format(minimum=55)
    + NS
    + """
@       300 IN A 192.0.2.9
@       300 IN MX 10 mail
@       300 IN TXT "v=spf1 ip4:192.0.2.9 -all"
_dmarc  300 IN TXT "v=DMARC1; p=reject"
mail    300 IN A 192.0.2.9
_25._tcp.mail 300 IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
"""
)
BOGUS = (
    SOA.format(minimum=55)
    + NS
    + """
@       300 IN A 192.0.2.10
@       300 IN TXT "v=spf1 ip4:192.0.2.10 -all"
"""
)
REVERSE = SOA.format(minimum=55) + NS + "7 300 IN PTR mail.plain.example.\n"

NSD = """
server:
    ip-address: 127.0.0.1
    port: {port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    logfile: "{folder}/nsd.log"
remote-control:
    control-enable: no
"""
UNBOUND = """
server:
    interface: 127.0.0.1@{port}
    do-ip6: no
    do-daemonize: no
    use-syslog: no
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: "{folder}/unbound.pid"
    logfile: "{folder}/unbound.log"
    do-not-query-localhost: no
    module-config: "validator iterator"
    trust-anchor-file: "{folder}/anchors"
    local-zone: "2.0.192.in-addr.arpa." nodefault
    minimal-responses: yes
    num-threads: 1
remote-control:
    control-enable: no
"""
STUB = 'stub-zone:\n    name: "{name}"\n    stub-addr: 127.0.0.1@{port}\n'


@dataclass
class NameServers:
    """An authoritative server and a validating one before it; `address` is the latter's.

    `more` are master-file lines that are added to `plain.example` and `signed.example`.
    """

    folder: Path
    more: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    authority: int = field(default_factory=free_port)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """As `dns.servers` takes it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> NameServers:
        """Write zones and configurations, sign, and start both."""
        nsd, unbound = needs("nsd", "nsd"), needs("unbound", "unbound")
        self.folder.mkdir(parents=True, exist_ok=True)
        plain = PLAIN + self.more.get("plain.example", "")
        signed, anchor = _signed("signed.example", SIGNED + self.more.get("signed.example", ""))
        bogus, bogus_anchor = _signed("bogus.example", BOGUS)
        zones = {
            "plain.example": plain,
            "signed.example": signed,
            "bogus.example": bogus.replace("192.0.2.10", "192.0.2.66"),  # the signatures do not fit
            "2.0.192.in-addr.arpa": REVERSE,
            "example": SOA.format(minimum=55) + NS,  # what stands above: DMARC walks up to it
        }
        config = NSD.format(port=self.authority, folder=self.folder)
        stubs = ""
        for name, text in zones.items():
            (self.folder / name).write_text(f"$ORIGIN {name}.\n{text}")
            config += f'zone:\n    name: "{name}"\n    zonefile: "{name}"\n'
            stubs += STUB.format(name=name, port=self.authority)
        (self.folder / "anchors").write_text(f"{anchor}\n{bogus_anchor}\n")
        (self.folder / "nsd.conf").write_text(config)
        text = UNBOUND.format(port=self.port, folder=self.folder) + stubs
        (self.folder / "unbound.conf").write_text(text)
        self._run(nsd, "-d", "-c", str(self.folder / "nsd.conf"), port=self.authority)
        self._run(unbound, "-c", str(self.folder / "unbound.conf"), port=self.port)
        return self

    def _run(self, *command: str, port: int) -> None:
        with (self.folder / "started.log").open("ab") as out:
            self._running.append(subprocess.Popen(command, env=CLEAN, stdout=out, stderr=out))
        wait_for(lambda: listens(port), f"{command[0]}: {self.folder}")

    def stop(self) -> None:
        """End both."""
        for process in self._running:
            process.terminate()
            process.wait()
        self._running.clear()


def _signed(name: str, text: str) -> tuple[str, str]:
    """A zone with its signatures, and the trust anchor for it."""
    zone = dns.zone.from_text(text, origin=name, relativize=False)
    private = ec.generate_private_key(ec.SECP256R1())
    key = dns.dnssec.make_dnskey(private.public_key(), "ECDSAP256SHA256", flags=257)
    now = datetime.datetime.now(datetime.UTC)
    with zone.writer() as writer:
        dns.dnssec.sign_zone(
            zone=zone,
            txn=writer,
            keys=[(private, key)],
            add_dnskey=True,
            dnskey_ttl=300,
            inception=now - datetime.timedelta(hours=1),
            expiration=now + datetime.timedelta(days=1),
        )
    return zone.to_text(relativize=False), f"{name}. IN DNSKEY {key.to_text()}"
