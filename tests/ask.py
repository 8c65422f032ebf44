"""Asks the server of libraries, `warm.py`, for a command: `ask.py SOCKET ARGUMENTS`, in place of an interpreter's.

It imports next to nothing: it is begun hundreds of times, each time before anything else.
"""

import json
import os
import socket
import sys

PACKAGES = ("dvc", "tasks")
"""Whose modules are run by the server; any other command is the interpreter's."""


def ask(address: str, *command: str) -> None:
    """Have the server run `-m MODULE ARGUMENTS`, and end as it ends."""
    if len(command) < 2 or command[0] != "-m" or command[1].partition(".")[0] not in PACKAGES:
        os.execv(sys.executable, [sys.executable, *command])
    asked = {"arguments": command[1:], "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109 (slow)
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [b" "], [0, 1, 2])
        server.sendall(json.dumps(asked).encode())
        server.shutdown(socket.SHUT_WR)
        sys.exit(int(server.recv(8) or 1))


if __name__ == "__main__":
    ask(*sys.argv[1:])
