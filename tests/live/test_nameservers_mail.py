"""Mail through a real Postfix, judged by what real name servers say."""

from __future__ import annotations

import contextlib
import json
import smtplib
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live.nameservers import NameServers
from live.parties import Millrace, header, send
from live.sites import Site, arrived, decided, mail

from millrace.engine.mail.message import Message
from millrace.engine.mailauth.bodyhash import hashed
from millrace.engine.mailauth.signing import BODY, FIELD, signature
from millrace.engine.store.keyring import KeyRing

PLAIN, SIGNED, STRANGER = "192.0.2.7", "192.0.2.9", "192.0.2.66"
SETTINGS = """
profile = "production"
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
[http]
address = "inet:0@127.0.0.1"
[dns]
servers = ["{server}"]
[log]
decisions = "decisions.jsonl"
"""
PIPELINE = """
policy = "default"
[[filter]]
use = "spf"
[[filter]]
use = "dkim"
[[filter]]
use = "dmarc"
[[filter]]
use = "stamp"
authserv_id = "mx.rcpt.example"
"""
DOMAINS = {"plain.example": PLAIN, "signed.example": SIGNED}


@dataclass
class Town:
    """Name servers, an MTA with our daemon, and the keys of both domains."""

    servers: NameServers
    site: Site
    keys: KeyRing

    def signed(self, subject: str, domain: str) -> bytes:
        """A mail of that domain with our own signatures, RSA and Ed25519."""
        raw = mail(subject, author=f"a@{domain}")
        message = Message.parse(raw)
        body = hashed(message.body, [BODY])[BODY]
        fields = [
            f"{FIELD}: {signature(message.headers, body, key, time.time())}\r\n"
            for key in self.keys.signers(domain)
        ]
        return "".join(fields).replace("\r\n", "\n").replace("\n", "\r\n").encode() + raw


@pytest.fixture(scope="module")
def town(root: None, new_folder: Callable[[str], Path]) -> Iterator[Town]:
    folder = new_folder("town")
    keys = KeyRing(folder / "keys")
    more: dict[str, str] = {}
    for domain in DOMAINS:
        for kind in ("rsa", "ed25519"):
            record = keys.make(domain, kind, kind).record
            pieces = " ".join(f'"{record[at : at + 200]}"' for at in range(0, len(record), 200))
            more[domain] = more.get(domain, "") + f"{kind}._domainkey 300 IN TXT {pieces}\n"
    servers = NameServers(folder / "dns", more)
    try:
        servers.start()
        (folder / "site").mkdir()
        settings = SETTINGS.format(server=servers.address)
        millrace = Millrace(folder / "site", settings, pipelines__inbound_toml=PIPELINE)
        site = Site(millrace.start())
        yield Town(servers, site, keys)
        site.close()
    finally:
        servers.stop()


@pytest.mark.parametrize("domain", list(DOMAINS))
def test_mail_that_we_sign_passes_all_three_and_is_stamped(town: Town, domain: str) -> None:
    subject = f"honest-{domain}"
    raw = town.signed(subject, domain)
    send(town.site.port, raw, f"a@{domain}", "ann@rcpt.example", ip=DOMAINS[domain])
    (stamped,) = header(arrived(town.site.sink, subject).raw, "Authentication-Results")
    assert stamped.startswith("mx.rcpt.example;")
    assert "spf=pass" in stamped
    assert stamped.count("dkim=pass") == 2
    assert "dmarc=pass" in stamped


def test_mail_in_a_name_that_is_not_its_own_is_refused(town: Town) -> None:
    raw = mail("forged", author="a@signed.example")
    with pytest.raises(smtplib.SMTPResponseException) as caught:
        send(town.site.port, raw, "a@signed.example", "ann@rcpt.example", ip=STRANGER)
    assert caught.value.smtp_code == 550
    record = decided(
        town.site.millrace,
        lambda each: "a@signed.example" in json.dumps(each) and STRANGER in json.dumps(each),
    )
    assert (record["facts"]["spf"]["result"], record["facts"]["dmarc"]["result"]) == (
        "fail",
        "fail",
    )


def test_changed_mail_has_a_signature_that_does_not_hold(town: Town) -> None:
    raw = town.signed("changed", "plain.example").replace(b"Friday", b"Sunday")
    send(town.site.port, raw, "a@plain.example", "ann@rcpt.example", ip=PLAIN)
    (stamped,) = header(arrived(town.site.sink, "changed").raw, "Authentication-Results")
    assert "dkim=fail" in stamped
    assert "dmarc=pass" in stamped  # SPF speaks for it


def test_domain_whose_signatures_are_bogus_is_a_temporary_error(town: Town) -> None:
    raw = mail("bogus", author="a@bogus.example")
    with contextlib.suppress(smtplib.SMTPResponseException):  # the policy's affair
        send(town.site.port, raw, "a@bogus.example", "ann@rcpt.example", ip=STRANGER)
    record = decided(town.site.millrace, lambda each: "bogus.example" in json.dumps(each))
    assert record["facts"]["spf"]["result"] == "temperror"


def test_questions_to_the_server_are_counted_at_the_door(town: Town) -> None:
    send(town.site.port, mail("counted"), "a@plain.example", "ann@rcpt.example", ip=PLAIN)
    port = town.site.millrace.port("http")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        text = page.read().decode()
    server = town.servers.address
    queries = [each for each in text.splitlines() if each.startswith("millrace_dns_queries_total")]
    (line,) = [each for each in queries if 'outcome="udp"' in each]
    assert f'server="{server}"' in line
    assert float(line.split()[-1]) >= 1
