"""rspamd, as a milter that scans itself, in the variants that do what our pipelines do.

    auth      SPF, DKIM, ARC, DMARC
    core      and Bayes in Redis, regular-expression rules, MIME checks
    scanning  and clamd

The newest one is taken from the root that `contrib/install-peers --newest` makes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from .peer_site import Site, settle
from .stack import Absent, Target, free_port

ROOT = Path(os.environ.get("MILLRACE_PEERS", "/var/tmp/millrace-peers/sid"))
_AUTH = frozenset({"spf", "dkim", "arc", "dmarc", "milter_headers"})
_CORE = _AUTH | {"redis", "regexp", "mime_types", "bayes", "greylist"}
_HEADERS = """\
use = ["x-spamd-bar", "x-spam-level", "x-spam-status", "authentication-results"];
authenticated_headers = []; skip_local = false;
"""
_CLAMAV = """\
clamav { action = "reject"; type = "clamav"; symbol = "CLAM_VIRUS"; servers = "127.0.0.1:%d";
  scan_mime_parts = false; log_clean = false; }
"""


def newest() -> bool:
    """Whether the newest one is here."""
    return (ROOT / "usr/bin/rspamd").exists()


def version() -> str:
    """What rspamd calls itself, "" where there is none."""
    command = ["chroot", str(ROOT), "rspamd"] if newest() else ["rspamd"]
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    found = re.search(r"version ([0-9.]+)", done.stdout)
    return found[1] if found else ""


def auth(site: Site) -> Target:
    """Authentication alone."""
    return _start(site, _AUTH, trained=False)


def core(site: Site) -> Target:
    """With its Bayes filter and its rules."""
    return _start(site, _CORE, trained=True)


def scanning(site: Site) -> Target:
    """With its Bayes filter, its rules and clamd."""
    return _start(site, _CORE | {"antivirus"}, trained=True)


def _start(site: Site, modules: frozenset[str], *, trained: bool) -> Target:
    if not newest() and shutil.which("rspamd") is None:
        raise Absent("rspamd is not installed")
    folder = site.folder / "rspamd"
    for name in ("local.d", "override.d", "db", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    port, control = free_port(), free_port()
    files = _files(site, modules, port, control)
    for name, text in files.items():
        site.write(f"rspamd/local.d/{name}", text)
    site.folder.chmod(0o755)
    prefix = _entered(site)
    if prefix:
        subprocess.run(["chmod", "-R", "a+rwX", str(folder)], check=True)
    else:
        site.give(folder, "_rspamd")
    places = [f"--var=LOCAL_CONFDIR={folder}", f"--var=DBDIR={folder}/db"]
    places += [f"--var=RUNDIR={folder}/run", f"--var=LOGDIR={folder}"]
    command = [*prefix, "rspamd", "-f", "-i", "-c", "/etc/rspamd/rspamd.conf", *places]
    pid = site.stack.start(command, f"inet:{port}@127.0.0.1")
    if trained:
        _train(site, prefix, control)
    settle(4)  # it compiles its expressions in the background
    helpers = {"redis": (site.redis.pid,)} if trained else {}
    if "antivirus" in modules:
        helpers["clamd"] = (site.clamd.pid,)
    return Target(f"inet:{port}@127.0.0.1", (pid,), helpers)


def _files(site: Site, modules: frozenset[str], port: int, control: int) -> dict[str, str]:
    folder = site.folder / "rspamd"
    address, _, dns = site.servers.rpartition(":")
    kinds = "dkim,regexp" if "regexp" in modules else "dkim"
    files = {
        "options.inc": f'dns {{ nameserver = ["{address}:{dns}:1"]; timeout = 2s; }}\n'
        f'local_addrs = ["127.0.0.0/8"]; temp_dir = "{folder}"; hs_cache_dir = "{folder}";\n'
        f'check_all_filters = false; filters = "{kinds}";\n',
        "logging.inc": f'type = "file"; filename = "{folder}/rspamd.log"; level = "warning";\n',
        "worker-normal.inc": "enabled = false;\n",
        "worker-fuzzy.inc": "enabled = false;\n",
        "worker-controller.inc": f'bind_socket = "127.0.0.1:{control}";\n'
        'secure_ip = ["127.0.0.1"];\n',
        "worker-proxy.inc": f'bind_socket = "127.0.0.1:{port}"; milter = yes; timeout = 60s;\n'
        'count = 1; upstream "local" { default = yes; self_scan = yes; }\n',
        "milter_headers.conf": _HEADERS,
        "classifier-bayes.conf": 'backend = "redis"; min_learns = 50; autolearn = false;\n',
        "greylist.conf": 'timeout = 1s; expire = 1h; message_func = "";\n',
    }
    root = ROOT if newest() else Path("/")
    for path in (root / "etc/rspamd/modules.d").glob("*.conf"):
        if path.stem not in modules:
            files[path.name] = "enabled = false;\n"
    if "bayes" in modules:
        files["redis.conf"] = f'servers = "127.0.0.1:{site.redis.port}";\n'
    else:
        files["classifier-bayes.conf"] = "enabled = false;\n"
    if "antivirus" in modules:
        files["antivirus.conf"] = _CLAMAV % site.clamd.port
    return files


def _entered(site: Site) -> list[str]:
    """The way into the root of the newest one, with our folder inside it."""
    if not newest():
        return []
    inside = ROOT / site.folder.relative_to("/")
    inside.mkdir(parents=True, exist_ok=True)
    for kind, source, place in (("--bind", site.folder, inside), ("-tproc", "proc", ROOT / "proc")):
        if not place.is_mount():
            site.run(["mount", kind, str(source), str(place)])
            site.stack.later(["umount", "-l", str(place)])
    for name in ("hosts", "resolv.conf"):
        shutil.copy(f"/etc/{name}", ROOT / "etc" / name)
    return ["chroot", str(ROOT)]


def _train(site: Site, prefix: list[str], control: int) -> None:
    for kind in ("ham", "spam"):
        learn = ["rspamc", "-h", f"127.0.0.1:{control}", f"learn_{kind}", str(site.training(kind))]
        site.run([*prefix, *learn])
