"""The sockets that a gateway listens on: its own, or those that a service manager hands over.

What is said here of an address is said of the one that a socket really has, not of the one that a
setting asked for. This module must not know what is served.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Sequence

from gateway.settings import UNIX_SOCKET, SettingsError, is_loopback

__all__ = ["host_of_all", "inherited_sockets", "listen", "loopback_url", "url_of"]

BACKLOG = 2048
FIRST_INHERITED = 3  # sd_listen_fds: the first descriptor after standard error
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared and replaced)


def listen(host: str, port: int, host_setting: str, port_setting: str) -> socket.socket:
    """A socket that listens on TCP. Raises SettingsError, which names the setting at fault."""
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
    # Python's own says no protocol, and asyncio sends at once (TCP_NODELAY) only what says TCP:
    # without it the second part of an answer waits 40 ms for the client's receipt of the first.
    return socket.socket(fileno=listener.detach())


def inherited_sockets() -> list[socket.socket]:
    """The listening sockets that a service manager hands over (sd_listen_fds), TCP or unix.

    LISTEN_PID names this process, LISTEN_FDS says how many there are. Raises SettingsError where
    one of them does not listen for connections.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "")
    if not count.isascii() or not count.isdigit():
        raise SettingsError("LISTEN_FDS: must be the number of sockets that are handed over")
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


def host_of_all(listeners: Sequence[socket.socket]) -> str:
    """The host that GATEWAY_HOST would have to be, for all that depends on who can connect.

    Of several the one that most can reach: an address of a network, else one of loopback, else a
    unix socket, as `unix:` and its path.
    """
    hosts = [_host(listener) for listener in listeners]
    return min(hosts, key=_privacy)


def _privacy(host: str) -> int:
    return 2 if host.startswith(UNIX_SOCKET) else int(is_loopback(host))


def url_of(listener: socket.socket) -> str:
    """The URL of a socket; of a unix socket in the form that nginx's proxy_pass takes."""
    host = _host(listener)
    return f"http://{host}:" if host.startswith(UNIX_SOCKET) else _url(host, listener)


def loopback_url(listeners: Sequence[socket.socket]) -> str | None:
    """Where this machine reaches the gateway over loopback; None where it does not."""
    for listener in listeners:
        host = _host(listener)
        host = EVERY_ADDRESS.get(host, host)
        if is_loopback(host):
            return _url(host, listener)
    return None


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _host(listener: socket.socket) -> str:
    """The address of a TCP socket, IPv4 also where it is written as IPv6; `unix:` and a path."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        path = name.decode(errors="replace") if isinstance(name, bytes) else name
        return UNIX_SOCKET + path.replace("\0", "@")
    address = ipaddress.ip_address(name[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
