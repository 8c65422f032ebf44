"""Ports for servers that tests start."""

import random
import socket


def free_port() -> int:
    """One that nobody listens on, below those that a system gives to connections by itself.

    Of these (from 32768 on, or 49152) one that is free may be another's before its server is up.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port is free")
