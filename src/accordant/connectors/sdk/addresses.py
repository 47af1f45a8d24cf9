"""Where a connector may connect to: checked on the address itself, in the moment of connecting, for every connection.
Guarantees that no setting, DNS answer or rebinding leads into the private network or to a cloud's metadata.
Source of the list: reliability.md 0.9 and T21; `ipaddress.is_private` calls several of these global.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from accordant.kernel.errors import ConfigurationError

# Never, not even for an allow-listed host: cloud metadata and wire servers, link-local, unspecified.
_NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "100.100.100.200/32",
        "192.0.0.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
    )
)
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_PRIVATE = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "172.16.0.0/12",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_GLOBAL_V6 = ip_network("2000::/3")
_V4_IN_V6 = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))

#: Marks our refusal inside the operating system's error, which is what the HTTP library passes on.
REFUSAL_MARK = "accordant-address-refused"


class AddressForbidden(ConfigurationError):
    """The address of this connection leads into a network that connectors may not reach."""

    remedy = "Correct the address, or add its host to the allowed hosts if it is a system of your own network."


class AddressRefused(OSError):
    """Raised inside the connecting library; ``HttpClient`` turns it into ``AddressForbidden``."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses may be connected to: public ones, and what is named here.

    ``allow_loopback`` is for stand-ins and tests; ``allowed_hosts`` names systems of the company's own network, lower
    case. Link-local and metadata addresses are refused whatever is named. ``only_loopback``: nothing beyond this
    machine, since a stand-in is written to without a grant.
    """

    allow_loopback: bool = False
    only_loopback: bool = False
    allowed_hosts: frozenset[str] = field(default_factory=frozenset)

    def check_url(self, url: str) -> str:
        """The address without its trailing slash. Raises AddressForbidden unless it is https, or http to ourselves."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if parts.scheme not in {"https", "http"} or not host or parts.query or parts.fragment:
            raise AddressForbidden(f"{url!r} is no address of a system: it must read https://host.")
        if parts.username or parts.password:
            raise AddressForbidden("The address of a connection holds a user name or password.")
        if parts.scheme == "http" and not (self.allow_loopback or host in self.allowed_hosts):
            raise AddressForbidden(f"{parts.scheme}://{host} is not encrypted; only https is used.")
        return url.rstrip("/")

    def refusal(self, host: str, address: str) -> str | None:
        """Why ``address`` (numeric) of ``host`` may not be connected to; None when it may."""
        try:
            number = _unwrapped(ip_address(address.split("%", 1)[0]))
        except ValueError:
            return "is no numeric address"
        if any(number in network for network in _NEVER):
            return "is a link-local, metadata or reserved address"
        if any(number in network for network in _LOOPBACK):
            return None if self.allow_loopback else "is this machine itself"
        if self.only_loopback:
            return "is not this machine, and the charter calls the system a stand-in"
        if host.lower() in self.allowed_hosts:
            return None
        if number.version == 6 and number not in _GLOBAL_V6:
            return "is not a public address"
        if any(number in network for network in _PRIVATE):
            return "is not a public address"
        return None

    def socket_factory(self, host: str) -> Callable[[tuple[Any, ...]], socket.socket]:
        """A factory that refuses in the moment of connecting: it sees the very address the socket will use."""

        def open_socket(address_info: tuple[Any, ...]) -> socket.socket:
            family, kind, protocol, _, peer = address_info
            reason = self.refusal(host, str(peer[0]))
            if reason is not None:
                raise AddressRefused(errno.EACCES, f"{REFUSAL_MARK}: {peer[0]} {reason}")
            return socket.socket(family=family, type=kind, proto=protocol)

        return open_socket


def _unwrapped(number: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 spelling of it (mapped, NAT64) leads to."""
    if number.version == 6 and any(number in network for network in _V4_IN_V6):
        return IPv4Address(int(number) & 0xFFFFFFFF)
    return number
