"""The socket that a server listens on, before anything that takes long is loaded."""

import socket

from basis.errors import UserError

FIRST_PORT = 8470
"""Tried first; if it is taken, the system gives a free one."""
ANY_ADDRESS = ("0.0.0.0", "::", "")
"""Mean all addresses of a machine at once; a server that answers under its own name alone must know which."""


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens on an address.

    Args:
        host: the address or name.
        port: the port; None: FIRST_PORT, or a free one.

    Raises:
        UserError: the address or the port can't be had.
    """
    if host in ANY_ADDRESS:
        raise UserError(f"--host {host!r} is not accepted; accepted: one address of this machine, by which it is asked")
    if port is not None and not 0 < port < 2**16:
        raise UserError(f"--port {port} is not accepted; accepted: 1 to {2**16 - 1}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in [FIRST_PORT, 0] if port is None else [port]:
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, number))
            listening.listen(128)
            listening.setblocking(False)
            return listening
        except OSError as error:
            listening.close()
            failure = error
    what = f"--host {host}" if port is None else f"--port {port}"
    raise UserError(
        f"{what}: can't listen there ({failure.strerror or failure}); accepted: a free port of this machine"
    )
