"""The sockets that a gateway listens on: its own, or those that a service manager passes.

Addresses here are those that sockets really have, not those of the settings. This module must not
know what is served.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Sequence

from gateway.settings import UNIX_SOCKET, SettingsError, is_loopback

__all__ = ["inherited_sockets", "listen", "loopback_url", "most_reachable_host", "url_of"]

BACKLOG = 2048
FIRST_INHERITED = 3  # sd_listen_fds: the first descriptor after standard error
WILDCARD_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared and replaced)


def listen(host: str, port: int, host_setting: str, port_setting: str) -> socket.socket:
    """A listening TCP socket. Raises SettingsError, which names the setting at fault."""
    if not 0 <= port <= 65535:
        raise SettingsError(f"{port_setting}: must be a whole number from 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        is_port = error.errno in {errno.EADDRINUSE, errno.EACCES}
        raise SettingsError(
            f"{port_setting if is_port else host_setting}: "
            f"cannot listen on {host} port {port}: {error.strerror}"
        ) from None
    # asyncio sets TCP_NODELAY only on sockets with the protocol TCP, which Python's socket lacks.
    # Without it the second part of a response waits 40 ms for the client to acknowledge the first.
    return socket.socket(fileno=listener.detach())


def inherited_sockets() -> list[socket.socket]:
    """The listening sockets that a service manager passes (sd_listen_fds), TCP or unix.

    LISTEN_PID names this process, LISTEN_FDS is their number. Raises SettingsError if one of them
    does not listen for connections.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "")
    if not count.isascii() or not count.isdigit():
        raise SettingsError("LISTEN_FDS: must be the number of inherited sockets")
    return [_inherited(FIRST_INHERITED + number) for number in range(int(count))]


def _inherited(descriptor: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        is_listening = 0
    if not is_listening or listener.family not in {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}:
        raise SettingsError(f"LISTEN_FDS: descriptor {descriptor} is not a listening socket")
    return listener


def most_reachable_host(listeners: Sequence[socket.socket]) -> str:
    """The host to use as GATEWAY_HOST in decisions that depend on who can connect.

    Of several, it is the most reachable: a network address, else loopback, else a unix socket, as
    `unix:` and its path.
    """
    hosts = [_host(listener) for listener in listeners]
    return min(hosts, key=_privacy)


def _privacy(host: str) -> int:
    return 2 if host.startswith(UNIX_SOCKET) else int(is_loopback(host))


def url_of(listener: socket.socket) -> str:
    """The URL of a socket; a unix socket's has the form of nginx's proxy_pass."""
    host = _host(listener)
    return f"http://{host}:" if host.startswith(UNIX_SOCKET) else _url(host, listener)


def loopback_url(listeners: Sequence[socket.socket]) -> str | None:
    """The gateway's loopback URL, or None if it does not listen on loopback."""
    for listener in listeners:
        host = _host(listener)
        host = WILDCARD_ADDRESSES.get(host, host)
        if is_loopback(host):
            return _url(host, listener)
    return None


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _host(listener: socket.socket) -> str:
    """The address of a TCP socket (an IPv4-mapped one as IPv4), or `unix:` and a path."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        path = name.decode(errors="replace") if isinstance(name, bytes) else name
        return UNIX_SOCKET + path.replace("\0", "@")
    address = ipaddress.ip_address(name[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
