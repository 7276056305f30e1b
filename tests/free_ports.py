"""Ports of 127.0.0.1 that nobody has at the moment, for other people's servers."""
import socket


def free_ports(count):
    """Return as many ports; another program may take one before a server does."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
