"""Address of a server: had before its runs are loaded, and told when it answers."""

import os
import socket
from ipaddress import ip_address

from reformer.errors import ReformerError


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that has the address and does not listen yet.

    Raises:
        ReformerError: there is no such address on this machine, it is another program's, or it may not be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # The codec of names has errors of its own.
        found = socket.getaddrinfo(host or "-", port, family, socket.SOCK_STREAM)[0][4]
    except (OSError, UnicodeError):
        told = "no name or address of this machine is known by it; give one such as 127.0.0.1, or 0.0.0.0 for all"
        raise ReformerError(f"--host {host!r}: {told}") from None
    bound = socket.socket(family)
    # On Windows this would share an address that another program listens on.
    if os.name != "nt":
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(found)
    except OSError as error:
        bound.close()
        told = f"{error.strerror}; take another --port, or 0 for any that is free, or another --host"
        raise ReformerError(f"{host}, port {port}: {told}") from None
    return bound


def url_of(bound: socket.socket) -> str:
    """The URL of what is served at a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
