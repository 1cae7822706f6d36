"""Listen addresses: `HOST:PORT`, `[IPV6]:PORT`, or `:PORT` for every address of the machine, IPv4 and IPv6.

A port alone is refused: some programs take it for loopback only, others for every address.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from typing import NamedTuple

from hearth_gateway.errors import ListenAddressError, ListenError

MAX_PORT = 65535
_NUMBER = re.compile(r"[0-9]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+")


class ListenAddress(NamedTuple):
    """A host and a port. An empty host is every address, port 0 a free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> ListenAddress:
    """Read an address to listen on. Raises ListenAddressError."""
    host, colon, number = text.rpartition(":")
    if not colon and _is_port(number):
        remedy = f"write 127.0.0.1:{number} for this machine only, or :{number} for every address"
        raise ListenAddressError(f"{text!r} has no host", remedy)
    if not colon or not _NUMBER.fullmatch(number):
        remedy = "write an address such as 127.0.0.1:8080, or :8080 for every address"
        raise ListenAddressError(f"{text!r} is not HOST:PORT", remedy)
    if not _is_port(number):
        raise ListenAddressError(f"{text!r}: {number} is not a port", f"use 1 to {MAX_PORT}, or 0 for a free one")
    return ListenAddress(_parse_host(text, host, number), int(number))


def listen_error(address: ListenAddress, error: OSError, *, option: str = "--listen") -> ListenError:
    """Return why nothing can listen on an address; `option` is where another one is given."""
    if isinstance(error, socket.gaierror):
        what = "there is no such host"
        remedy = f"give an address of this machine, such as 127.0.0.1, or :{address.port} for every one, with {option}"
    elif error.errno == errno.EADDRNOTAVAIL:
        what = "it is not an address of this machine"
        remedy = f"give one that is, such as 127.0.0.1, or :{address.port} for every one, with {option}"
    elif error.errno in (errno.EACCES, errno.EPERM):
        what, remedy = os.strerror(error.errno), f"choose a port from 1024 on with {option}, such as 8080"
    else:
        what = os.strerror(error.errno) if error.errno else str(error)
        other = address._replace(port=address.port + 1 if address.port < MAX_PORT else address.port - 1)
        remedy = f"stop what uses the port, or choose another with {option} {other}"
    return ListenError(f"cannot listen on {address}: {what}", remedy)


def _is_port(number: str) -> bool:
    return bool(_NUMBER.fullmatch(number)) and len(number) <= len(str(MAX_PORT)) and int(number) <= MAX_PORT


def _parse_host(text: str, host: str, number: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        if not _is_ipv6(host[1:-1]):
            raise ListenAddressError(f"{text!r}: {host} is not an IPv6 address", f"write one such as [::1]:{number}")
        return host[1:-1]
    if _is_ipv6(host):
        raise ListenAddressError(f"{text!r}: the IPv6 address is not in brackets", f"write [{host}]:{number}")
    if host and not _HOST.fullmatch(host):
        raise ListenAddressError(f"{text!r}: {host!r} is not a host", f"write one such as 127.0.0.1:{number}")
    return host


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
