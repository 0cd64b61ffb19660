"""Free loopback ports for the parts of a stack."""

from __future__ import annotations

import random
import socket

import psutil

from deployments.stack.errors import StackError

# Below the range that kernels hand out to outgoing connections: a part that restarts must find
# its port free again.
_CANDIDATES = range(20_000, 32_000)


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Choose `count` different loopback ports that nothing listens on.

    Raises
    ------
    StackError
        When there are not that many.
    """
    chosen: list[int] = []
    for port in random.sample(_CANDIDATES, len(_CANDIDATES)):
        if is_free("127.0.0.1", port):
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise StackError(f"No {count} free ports between {_CANDIDATES.start} and {_CANDIDATES.stop}.")


def require_free(host: str, port: int) -> None:
    """Refuse a gateway port that is taken, naming who has it where that is known.

    Raises
    ------
    StackError
        When something listens there, or the address is not this machine's.
    """
    if is_free(host, port):
        return
    raise StackError(
        f"Port {port} on {host} is in use{_holder(port)}. Choose another with --port (0: any free one)."
    )


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            try:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.NoSuchProcess:
                return ""
    return ""
