"""What the flows, the pipeline and a cell that is started alone, have around their work."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil
from prefect.client.schemas.objects import State
from prefect.states import Failed

from ssl_core.errors import Refused
from tasks import parent, workspace
from tasks.stage import sentence


async def as_writer(work: Callable[[], Awaitable[State]], refused: str) -> State:
    """Do a flow's work as the one that writes in this folder, and end as it does.

    What is refused, or what the system does not give, becomes a state of the name `refused`, with a sentence. In a
    worker, whose death this process would not notice, it dies with that.
    """
    try:
        if "PREFECT__FLOW_RUN_ID" in os.environ:
            _follow_worker()
        with workspace.writing():
            return await work()
    except (Refused, OSError) as error:
        return Failed(name=refused, message=sentence(error))


def _follow_worker() -> None:
    """Die with the worker that started this process. Raises `Refused` where that is dead already.

    Whoever adopts an orphan is not known beforehand, but is nothing of Prefect's.
    """
    parent.die_with_parent()
    with suppress(psutil.Error):
        if any("prefect" in word for word in psutil.Process(os.getppid()).cmdline()):
            return
    raise Refused("the worker that was to run this has ended: start it again")
