"""Which addresses a webhook may reach: nothing of ours, nothing private, no metadata service.

The rule holds at submission and again at delivery, where the connection is made to the very
address that was checked, so a name that changes its mind in between (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from api_gateway.errors import WebhookAddressError

_RESOLVE_SECONDS = 5.0
_CARRIER_NAT = ipaddress.ip_network("100.64.0.0/10")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Target:
    """A webhook address that passed, with the IP address to connect to."""

    scheme: str
    host: str
    port: int
    address: str


class AddressRules:
    """Checks webhook addresses.

    Parameters
    ----------
    allowed_hosts
        Names or addresses that may be reached although they are private.
    """

    def __init__(self, allowed_hosts: Iterable[str]) -> None:
        self._allowed = {host.lower() for host in allowed_hosts}

    async def check(self, url: str) -> Target:
        """Resolve `url` and see that every address it stands for may be reached.

        Raises
        ------
        WebhookAddressError
            When the address is malformed, does not resolve, or is not allowed.
        """
        scheme, host, port = _parts(url)
        addresses = await _resolve(host, port)
        if host not in self._allowed:
            for address in addresses:
                if not is_public(ipaddress.ip_address(address)):
                    raise _refusal(f"{host} is not a public address")
        return Target(scheme, host, port, addresses[0])


def without_query(url: str) -> str:
    """The address as it may be shown: its query may carry a secret."""
    return urlunsplit(urlsplit(url)._replace(query="", fragment=""))


def is_public(address: Address) -> bool:
    """Whether an address lies in the public internet, also behind an IPv6 disguise."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    elif address in _CARRIER_NAT:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _refusal(detail: str) -> WebhookAddressError:
    return WebhookAddressError(detail, field="options.notify_url")


def _parts(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refusal("The address is malformed") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _refusal("An http or https address is needed")
    if parts.username is not None or parts.password is not None:
        raise _refusal("The address must not carry a user name or password")
    return parts.scheme, host.lower(), port or (443 if parts.scheme == "https" else 80)


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _refusal(f"{host} does not resolve") from None
    # An IPv6 address may carry a zone (`fe80::1%eth0`) that ipaddress keeps as part of the address.
    return [str(info[4][0]) for info in found]
