"""A service manager: starts the program with inherited listening sockets."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

from tests.end_to_end.program import COMMAND, Server, environment

__all__ = ["inheriting"]

# Between fork and exec. It first moves the descriptors that others might overwrite.
INHERIT = """if True:
    import fcntl, os, sys
    high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(",")]
    for place, fd in enumerate(high, 3):
        os.dup2(fd, place)
        os.close(fd)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high))}
    os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def inheriting(*listeners: socket.socket, **given: str) -> Iterator[Server]:
    """A gateway that inherits these sockets. None of its output is read yet."""
    descriptors = [listener.fileno() for listener in listeners]
    argument = ",".join(map(str, descriptors))
    with TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", INHERIT, argument, *COMMAND],
            env=environment(given),
            pass_fds=descriptors,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        server = Server(process)
        try:
            yield server
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=20)
            server.lines += rest.splitlines()
            server.exit_code = process.returncode
            log.seek(0)
            server.log = log.read()
