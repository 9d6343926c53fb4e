"""Doors: the listeners of one process, opened by what the settings say.

A door's socket is bound here, or was bound by the supervisor for all its workers.

Fails: `open_door` raises `Misconfigured` for an address, mode, certificate or next hop that
is no good.
"""

from __future__ import annotations

import contextlib
import ipaddress
import platform
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.net import listener as sockets
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.net.listener import Given
from millrace.engine.net.nexthop import SmtpHop
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.ports import NextHop
from millrace.engine.pressure import Pressure, Room
from millrace.engine.servers import milter, milter_backends, smtp
from millrace.engine.servers.milter_backends import MilterListener as AnyListener
from millrace.engine.settings import Limits, Listener, Settings
from millrace.engine.store.maildir import Maildir
from millrace.engine.wire.smtp import Limits as SmtpLimits


@dataclass(frozen=True, slots=True)
class Door:
    """One open door, and what the operator asked for."""

    kind: str
    settings: Listener
    listener: AnyListener


@dataclass(frozen=True, slots=True)
class Doorway:
    """Where a door is to be: the worker's place among all, and its socket if it is bound."""

    place: sockets.Place
    given: Given | None = None


async def open_door(
    settings: Settings, each: Listener, serving: Serving, pressure: Pressure, way: Doorway
) -> Door:
    """Listen, and serve whoever comes."""
    limits = settings.limits
    # all of an MTA's connections come from one address: only the whole bounds them
    of_one = limits.connections if each.kind == "milter" else limits.per_client
    bounds = sockets.Bounds(limits.connections, of_one, limits.idle)
    if each.kind == "milter":
        opened = await _milter(each, serving, bounds, _of_mail(limits, pressure), way)
    else:
        served = smtp.SmtpFrontEnd(serving, _smtp_door(each, settings, pressure))
        opened = await sockets.listen(
            each.address,
            served.serve,
            bounds=bounds,
            full=smtp.FULL,
            mode=octal(each.mode),
            group=each.group,
            place=way.place,
            given=way.given,
        )
    return Door(each.kind, each, opened)


def look_at(settings: Settings, each: Listener) -> None:
    """Whether `open_door` likes all but the address; raises as it would."""
    octal(each.mode)
    if each.kind == "smtp":
        _smtp_door(each, settings, Pressure(Room(1, 1)))


def _of_mail(limits: Limits, pressure: Pressure) -> milter.Bounds:
    return milter.Bounds(limits.message, limits.recipients, limits.spool_above, pressure)


async def _milter(
    each: Listener,
    serving: Serving,
    bounds: sockets.Bounds,
    of_mail: milter.Bounds,
    way: Doorway,
) -> AnyListener:
    return await milter_backends.listen(
        each.backend,
        each.address,
        serving,
        each.address,
        of_mail,
        net_bounds=bounds,
        mode=octal(each.mode),
        group=each.group,
        place=way.place,
        given=way.given,
    )


def _smtp_door(each: Listener, settings: Settings, pressure: Pressure) -> smtp.Door:
    limits = settings.limits
    name = each.hostname or platform.node()
    return smtp.Door(
        name=name,
        hop=next_hop(each.deliver, name, settings),
        listener=each.address,
        limits=SmtpLimits(size=limits.message, recipients=limits.recipients),
        tls=_tls_context(each, settings),
        trusted=_networks(each.trusted),
        spool_above=limits.spool_above,
        pressure=pressure,
    )


def octal(mode: str) -> int:
    """A Unix socket's permissions; raises `Misconfigured`."""
    with contextlib.suppress(ValueError):
        value = int(mode, 8)
        if stat.S_IMODE(value) == value:
            return value
    raise Misconfigured(Fault(f"mode = '{mode}' is no file mode", 'It reads like "0660".'))


def next_hop(text: str, name: str, settings: Settings) -> NextHop:
    """The next hop that `smtp:…`, `lmtp:…` or `maildir:…` names."""
    scheme, _, rest = text.partition(":")
    if scheme == "maildir" and rest:
        return Maildir(settings.at(Path(rest)))
    if scheme in ("smtp", "lmtp") and rest:
        return SmtpHop(Endpoint.parse(rest), name, lmtp=scheme == "lmtp")
    hint = "It reads smtp:inet:10026@127.0.0.1, lmtp:unix:/path or maildir:/path."
    raise Misconfigured(Fault(f"deliver = '{text}' is no next hop", hint))


def _networks(texts: tuple[str, ...]) -> tuple[smtp.Network, ...]:
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            hint = 'It reads like "127.0.0.1" or "192.0.2.0/24".'
            raise Misconfigured(Fault(f"trusted: '{text}' is no network", hint)) from None
    return tuple(found)


def _tls_context(each: Listener, settings: Settings) -> ssl.SSLContext | None:
    if each.tls_certificate is None:
        return None
    certificate = settings.at(each.tls_certificate)
    key = settings.at(each.tls_key) if each.tls_key is not None else None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        place = Place(str(certificate))
        raise Misconfigured(Fault(f"cannot be used for TLS: {error}", place=place)) from None
    return context
