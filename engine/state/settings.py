"""The settings of shared memory: `[state]` of the settings file.

Fails: never; `engine.state.opening` says what does not fit together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from millrace.engine.options import Seconds


@dataclass(frozen=True, slots=True)
class State:
    """Shared memory: greylist, limits, reputation."""

    url: Annotated[str, "embedded:PATH, redis://HOST:PORT/DB, rediss://… or unix://…"] = (
        "embedded:state.db"
    )
    scope: Annotated[str, "daemons that use one store and one word share what they know"] = (
        "default"
    )
    sentinels: Annotated[tuple[str, ...], "HOST:PORT of Sentinels; the URL's host is not used"] = ()
    master: Annotated[str, "the name by which the Sentinels know the master"] = ""
    cluster: Annotated[bool, "the URL names one node of a Redis cluster"] = False
    nodes: Annotated[tuple[str, ...], "HOST:PORT of more nodes of the cluster, to begin with"] = ()
    user: Annotated[str, "the ACL user"] = ""
    password_file: Annotated[Path | None, "holds the password of server and Sentinels"] = None
    tls_ca: Annotated[Path | None, "PEM, whom rediss:// trusts; unset: this host's"] = None
    tls_certificate: Annotated[Path | None, "PEM, our certificate, where one is asked for"] = None
    tls_key: Annotated[Path | None, "PEM, its key"] = None
    connections: Annotated[int, "round trips under way at once"] = 8
    timeout: Annotated[Seconds, "for connecting, and for one round trip"] = Seconds(1.0)
    shadow: Annotated[int, "who passed the greylist, kept here too; 0 none"] = 50_000
