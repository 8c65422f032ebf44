"""Prefect's server, seen from a run: whether it answers, and what is done while it does not."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import prefect

from ssl_core.errors import Refused

ASK_SECONDS = 5.0
PATIENCE_SECONDS = 45.0
"""A server that does not answer for as long is given up."""
LEAVE_SECONDS = 5.0
"""How long Prefect's client, which waits for minutes, may wait at the end of a run for a server that was given up."""


class Server:
    """The server at an address: whether it `answers`, and whether it is `gone`, given up.

    `cancelling`: on its page the flow run of `run_id` was told to end; of one that no worker started nobody else hears.
    """

    def __init__(self, address: str, run_id: str = "") -> None:
        self.address, self.run_id, self.answers = address, run_id, True
        self.gone, self.cancelling = asyncio.Event(), asyncio.Event()

    async def watch(self) -> None:
        """Ask every few seconds whether it is there, until it is given up."""
        async with httpx.AsyncClient(timeout=ASK_SECONDS) as client:
            answered = time.monotonic()
            while time.monotonic() - answered < PATIENCE_SECONDS:
                await asyncio.sleep(ASK_SECONDS)
                self.answers = await self._asked(client)
                if self.answers:
                    answered = time.monotonic()
        self.gone.set()

    async def _asked(self, client: httpx.AsyncClient) -> bool:
        """Whether it answers; what it says of the run is noted."""
        try:
            if not self.run_id:
                return (await client.get(f"{self.address}/health")).is_success
            said = await client.get(f"{self.address}/flow_runs/{self.run_id}")
            if said.is_success and said.json()["state_type"] in ("CANCELLING", "CANCELLED"):
                self.cancelling.set()
            return said.status_code < httpx.codes.INTERNAL_SERVER_ERROR
        except httpx.HTTPError:
            return False

    async def shown(self, show: Callable[[], Awaitable[Any]]) -> None:
        """Have the server shown something; what it was not shown when it is given up, it is not.

        A run that could not be shown is tried again: a server that restarts is back by then.
        """
        for _ in range(round(PATIENCE_SECONDS / ASK_SECONDS)):
            if self.gone.is_set():
                return
            showing, gone = asyncio.ensure_future(show()), asyncio.ensure_future(self.gone.wait())
            try:
                await asyncio.wait({showing, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not showing.done() or not showing.exception():
                    return
            finally:
                gone.cancel()
                if not showing.done():
                    showing.cancel()
            await asyncio.sleep(ASK_SECONDS)

    def leave_in_time(self) -> None:
        """Where it does not answer at the end of a run, end this process with exit code 1, however long a client waits.

        A server that answers again meanwhile is told how the run ended, and the process ends by itself.
        """
        with suppress(httpx.HTTPError):
            if httpx.get(f"{self.address}/health", timeout=ASK_SECONDS).is_success:
                return

        def leave() -> None:
            print("stopgrad: Prefect's server is gone: what was done stays, but its page lacks it", file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

        timer = threading.Timer(LEAVE_SECONDS if self.gone.is_set() else PATIENCE_SECONDS, leave)
        timer.daemon = True
        timer.start()


def refuse_without(address: str) -> None:
    """Raise `Refused` where no Prefect server answers, or one of another version."""
    try:
        httpx.get(f"{address}/health", timeout=5).raise_for_status()
        there = str(httpx.get(f"{address}/admin/version", timeout=5).raise_for_status().json())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        raise Refused(
            f"no Prefect server answers at {address}: start one with `make serve`, then run this again"
        ) from None
    if there.split(".")[:2] != prefect.__version__.split(".")[:2]:
        raise Refused(
            f"the Prefect server at {address} is of version {there}, and Prefect is {prefect.__version__} here: "
            "end that server, and start one with `make serve`"
        )
