"""Listen addresses: one meaning for everybody who takes one, and why none can be used."""

from __future__ import annotations

import errno
import socket

import pytest

from hearth_gateway.errors import ListenAddressError
from hearth_gateway.listen import ListenAddress, listen_error, parse_listen


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("my-host.example:65535", "my-host.example", 65535),
        ("[::1]:8080", "::1", 8080),
        ("[::]:1", "::", 1),
        (":8080", "", 8080),
    ],
)
def test_an_address_is_read_and_written_back(text: str, host: str, port: int) -> None:
    found = parse_listen(text)
    assert (found.host, found.port) == (host, port)
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("", "'' is not HOST:PORT", "127.0.0.1:8080"),
        ("localhost", "'localhost' is not HOST:PORT", "127.0.0.1:8080"),
        ("localhost:", "'localhost:' is not HOST:PORT", "127.0.0.1:8080"),
        ("x:y", "'x:y' is not HOST:PORT", ":8080 for every address"),
        (":-1", "':-1' is not HOST:PORT", "127.0.0.1:8080"),
        ("h:\u0661", "is not HOST:PORT", "127.0.0.1:8080"),
        ("8080", "'8080' has no host", "127.0.0.1:8080 for this machine only, or :8080 for every address"),
        ("1.2.3.4:65536", "65536 is not a port", "1 to 65535"),
        ("h:" + "9" * 5000, "is not a port", "1 to 65535"),
        ("::1:8080", "the IPv6 address is not in brackets", "write [::1]:8080"),
        ("[::1]", "is not HOST:PORT", "127.0.0.1:8080"),
        ("[1.2.3.4]:80", "[1.2.3.4] is not an IPv6 address", "[::1]:80"),
        ("http://h:80", "'http://h' is not a host", "127.0.0.1:80"),
        ("*:80", "'*' is not a host", "127.0.0.1:80"),
        (" h:80", "' h' is not a host", "127.0.0.1:80"),
    ],
)
def test_a_text_that_is_no_address_is_refused(text: str, message: str, remedy: str) -> None:
    with pytest.raises(ListenAddressError) as caught:
        parse_listen(text)
    assert message in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("error", "what", "remedy"),
    [
        (OSError(errno.EADDRINUSE, "a whole sentence"), "Address already in use", "with --listen 127.0.0.1:81"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "it is not an address of this machine", "or :80 for every one"),
        (OSError(errno.EACCES, "x"), "Permission denied", "a port from 1024 on with --listen"),
        (socket.gaierror(-2, "unknown"), "there is no such host", "give an address of this machine"),
        (OSError("odd"), "odd", "stop what uses the port"),
    ],
)
def test_the_reason_why_nothing_can_listen_there(error: OSError, what: str, remedy: str) -> None:
    found = listen_error(ListenAddress("127.0.0.1", 80), error)
    assert found.message == f"cannot listen on 127.0.0.1:80: {what}"
    assert remedy in found.remedy


def test_another_port_is_proposed_that_exists() -> None:
    found = listen_error(ListenAddress("::1", 65535), OSError(errno.EADDRINUSE, "x"), option="--scaler-listen")
    assert found.remedy.endswith("with --scaler-listen [::1]:65534")
