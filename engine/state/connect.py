"""A way to Redis, by the settings: to one server, by Sentinels, or to a cluster.

The library asks nothing twice: its patience would turn an outage into a queue, and the
next mail is the next try.  Passwords come from a file, read anew for each connection so that
they may change, or stand in the URL.

Fails: `Misconfigured` for what can never work; nothing is connected here.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, RedisError

from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.state.exchange import Clustered, Direct, Exchange
from millrace.engine.state.settings import State

URL_HINT = "It reads like redis://127.0.0.1:6379/0"
HEALTH_S = 30.0  # a connection that was idle for longer is tried before it is used
At = Callable[[Path], Path]


def exchange(state: State, at: At) -> Exchange:
    """The way to what these settings name; `at` makes a path of theirs one of the process."""
    address = _address(state)
    options = _options(state, at) | _credentials(state, at, address)
    try:
        if state.sentinels:
            return Direct(_master(state, address, options).connection_pool, state.timeout)
        if state.cluster:
            return Clustered(_cluster(state, address, options), state.timeout)
        return Direct(ConnectionPool(**address, **options), state.timeout)
    except (ValueError, TypeError, RedisError) as error:
        raise Misconfigured(Fault(f"state '{shown(state)}': {error}", URL_HINT)) from None


def shown(state: State) -> str:
    """The server's name for people: no password."""
    scheme, separator, rest = state.url.partition("://")
    if state.sentinels:
        return f"{scheme}{separator}{state.master} by {', '.join(state.sentinels)}"
    return scheme + separator + rest.rpartition("@")[2]


def _address(state: State) -> dict[str, Any]:
    """Host, port, path, database and what else the URL says."""
    try:
        return dict(parse_url(state.url))
    except ValueError as error:
        raise Misconfigured(Fault(f"state '{shown(state)}': {error}", URL_HINT)) from None


def _options(state: State, at: At) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": state.timeout,
        "socket_connect_timeout": state.timeout,
        "health_check_interval": HEALTH_S,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,
        "decode_responses": True,
        "max_connections": state.connections,
    }
    return options | _tls(state, at)


def _credentials(state: State, at: At, address: dict[str, Any]) -> dict[str, Any]:
    """Who we are; a password in a file goes before one in the URL."""
    if state.password_file is None:
        return {"username": state.user} if state.user else {}
    path = at(state.password_file)
    try:
        _password(path)
    except (OSError, UnicodeDecodeError) as error:
        hint = "It holds the password and nothing else, readable by the daemon's user alone."
        raise Misconfigured(Fault(f"state.password_file {path}: {error}", hint)) from None
    in_url = address.pop("username", "")
    address.pop("password", None)
    return {"credential_provider": _FromFile(path, state.user or in_url)}


class _FromFile(CredentialProvider):
    """The password that the file holds when a connection begins."""

    def __init__(self, path: Path, user: str) -> None:
        self.path, self.user = path, user

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = _password(self.path)
        except (OSError, UnicodeDecodeError) as error:
            raise AuthenticationError(f"the password's file {self.path}: {error}") from None
        return (self.user, password) if self.user else (password,)


def _password(path: Path) -> str:
    return path.read_text("utf-8").strip()


def _tls(state: State, at: At) -> dict[str, Any]:
    files = {
        "ssl_ca_certs": state.tls_ca,
        "ssl_certfile": state.tls_certificate,
        "ssl_keyfile": state.tls_key,
    }
    given = {name: str(at(path)) for name, path in files.items() if path is not None}
    if given and not state.url.startswith("rediss:"):
        sentence = f"state '{shown(state)}' is not encrypted, and tls_* is set"
        raise Misconfigured(Fault(sentence, "With TLS the URL begins with rediss://"))
    _readable(given)
    return given


def _readable(given: dict[str, str]) -> None:
    """Tell now what would otherwise look like a server that is away."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if "ssl_ca_certs" in given:
            context.load_verify_locations(given["ssl_ca_certs"])
        if "ssl_certfile" in given:
            context.load_cert_chain(given["ssl_certfile"], given.get("ssl_keyfile"))
    except OSError as error:  # SSLError is one
        sentence = f"state: the TLS files cannot be used: {error}"
        hint = "tls_ca, tls_certificate and tls_key are PEM files; the key belongs to the other."
        raise Misconfigured(Fault(sentence, hint)) from None


def _master(state: State, address: dict[str, Any], options: dict[str, Any]) -> Redis:
    if not state.master:
        hint = 'Sentinels know it by a name: master = "mymaster".'
        raise Misconfigured(Fault("state.sentinels are named, and no state.master", hint))
    encrypted = state.url.startswith("rediss:")
    for key in ("host", "port", "path", "connection_class"):
        address.pop(key, None)
    # a Sentinel has no databases, and its user is often another one
    asking = {k: v for k, v in options.items() if k not in ("username", "max_connections")}
    if known := options.get("credential_provider"):
        asking["credential_provider"] = _FromFile(known.path, "")
    found = Sentinel(  # type: ignore[no-untyped-call]
        [_host_port(each) for each in state.sentinels],
        sentinel_kwargs=asking | ({"ssl": True} if encrypted else {}),
        **options,
        **address,
        **({"ssl": True} if encrypted else {}),
    )
    master: Redis = found.master_for(state.master)
    return master


def _cluster(state: State, address: dict[str, Any], options: dict[str, Any]) -> RedisCluster:
    more = [ClusterNode(*_host_port(each)) for each in state.nodes]
    first = ClusterNode(address.pop("host", "127.0.0.1"), address.pop("port", 6379))
    for key in ("connection_class", "path", "db"):  # a cluster has one database
        address.pop(key, None)
    return RedisCluster(
        startup_nodes=[first, *more],
        ssl=state.url.startswith("rediss:"),
        **address,
        **options,
    )


def _host_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise Misconfigured(Fault(f"state: '{text}' is no HOST:PORT", 'Such as "10.0.0.1:26379".'))
    return host.strip("[]"), int(port)
