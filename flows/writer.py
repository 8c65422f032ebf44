"""What the flows, the pipeline and a cell that is started alone, have around their work."""

import os
from collections.abc import Awaitable, Callable

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
    if "PREFECT__FLOW_RUN_ID" in os.environ:
        parent.die_with_parent()
    try:
        with workspace.writing():
            return await work()
    except (Refused, OSError) as error:
        return Failed(name=refused, message=sentence(error))
