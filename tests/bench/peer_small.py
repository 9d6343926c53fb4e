"""Peers of one process and one settings file, and SpamAssassin behind its milter."""

from __future__ import annotations

import shutil
from pathlib import Path

from .peer_site import Site
from .stack import Absent, Target, free_port

_NOOP = Path(__file__).resolve().parent / "noop.c"
_OPENDKIM = """\
Mode v
Socket local:{socket}
Syslog no
Background no
AlwaysAddARHeader yes
AuthservID bench.example
Nameservers {resolver}
"""
_OPENDMARC = """\
Socket local:{socket}
Syslog false
Background false
AuthservID bench.example
TrustedAuthservIDs bench.example
SPFIgnoreResults true
SPFSelfValidate true
RejectFailures true
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
"""
_PYSPF = """\
debugLevel = 0
Header_Type = AR
Authserv_Id = bench.example
HELO_reject = False
Mail_From_reject = False
skip_addresses = 127.0.0.0/8
Socket = local:{socket}
PidFile = {folder}/pyspf.pid
UserID = root:root
InternalHosts = 127.0.0.1
"""
_CLAMAV = """\
Foreground yes
MilterSocket unix:{socket}
ClamdSocket tcp:127.0.0.1:{port}
OnClean Accept
OnInfected Reject
OnFail Defer
TemporaryDirectory {folder}
LogFile {folder}/clamav-milter.out
"""
_SPAMASSASSIN = """\
required_score 5
report_safe 0
use_bayes 1
bayes_path {folder}/bayes/bayes
bayes_file_mode 0666
bayes_auto_learn 0
bayes_auto_expire 0
bayes_learn_to_journal 1
dns_available yes
dns_server [{resolver}]:53
skip_rbl_checks 1
"""


def libmilter(site: Site) -> Target:
    """A C filter that does nothing."""
    program = site.folder / "noop"
    compiler = shutil.which("cc")
    if compiler is None:
        raise Absent("there is no C compiler")
    site.run([compiler, "-O2", "-o", str(program), str(_NOOP), "-lmilter", "-lpthread"])
    return _listening(site, "noop", [str(program), f"unix:{site.socket('noop')}"])


def opendkim(site: Site) -> Target:
    """OpenDKIM, verifying."""
    text = _OPENDKIM.format(socket=site.socket("opendkim"), resolver=site.resolver)
    return _listening(site, "opendkim", ["opendkim", "-f", "-x", site.write("dkim.conf", text)])


def opendmarc(site: Site) -> Target:
    """OpenDMARC, which asks SPF itself and believes OpenDKIM."""
    text = _OPENDMARC.format(socket=site.socket("opendmarc"))
    command = ["opendmarc", "-f", "-c", site.write("dmarc.conf", text)]
    return _listening(site, "opendmarc", command, resolver=site.resolver)


def pyspf(site: Site) -> Target:
    """pyspf-milter, a Python program."""
    text = _PYSPF.format(socket=site.socket("pyspf"), folder=site.folder)
    command = ["pyspf-milter", site.write("pyspf.conf", text)]
    return _listening(site, "pyspf", command, resolver=site.resolver)


def clamav(site: Site) -> Target:
    """clamav-milter before clamd."""
    clamd = site.clamd
    text = _CLAMAV.format(socket=site.socket("clamav"), folder=site.folder, port=clamd.port)
    target = _listening(site, "clamav", ["clamav-milter", "-c", site.write("clamav.conf", text)])
    return Target(target.address, target.pids, {"clamd": (clamd.pid,)})


def spamassassin(site: Site) -> Target:
    """spamd with its rules, Bayes and the DNS, behind spamass-milter."""
    conf = site.folder / "spamassassin"
    shutil.copytree("/etc/spamassassin", conf, dirs_exist_ok=True)
    text = _SPAMASSASSIN.format(folder=site.folder, resolver=site.resolver)
    site.write("spamassassin/local.cf", text)
    bayes = site.folder / "bayes"
    bayes.mkdir()
    if shutil.which("sa-learn") is None:
        raise Absent("SpamAssassin is not installed")
    for kind in ("ham", "spam"):
        learn = ["sa-learn", f"--siteconfigpath={conf}", f"--{kind}", str(site.training(kind))]
        site.run(learn)
    site.give(bayes, "debian-spamd")
    port = free_port()
    options = ["-i", "127.0.0.1", "-p", str(port), "-m", "4", "--min-children=4", "-s", "null"]
    command = ["spamd", "-x", "-u", "debian-spamd", f"--siteconfigpath={conf}", *options]
    spamd = site.stack.start(command, f"inet:{port}@127.0.0.1")
    where = ["-r", "15", "-m", "--", "-d", "127.0.0.1", "-p", str(port)]
    target = _listening(site, "spamass", ["spamass-milter", "-p", site.socket("spamass"), *where])
    return Target(target.address, target.pids, {"spamd": (spamd,)})


def _listening(site: Site, name: str, command: list[str], resolver: str = "") -> Target:
    address = f"unix:{site.socket(name)}"
    return Target(address, (site.stack.start(command, address, resolver=resolver),))
