"""Runs whose process is gone: Prefect keeps them as running, and they keep their deployment's slot, until told."""

from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.states import Crashed

HEARTBEAT_SECONDS = 30
"""The shortest that Prefect has."""
SILENCE_SECONDS = 90.0
"""A run that gave no sign of life for as long has crashed."""
REFUSED = "Refused"
"""The name of the state of a cell that its clone refused: another worker would do, and this one is not to be asked."""
UNDER_WAY = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


async def crash_left(client: PrefectClient, pool: str, deployments: list[str]) -> None:
    """Set Crashed what runs of these deployments of a pool are still said to be under way, while no worker is there."""
    left = await client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=deployments)),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY))),
    )
    for run in left:
        await client.set_flow_run_state(run.id, Crashed(message="its worker was ended"), force=True)


async def end_silent(client: PrefectClient, name: str, deployment: UUID) -> None:
    """Have Prefect end the silent runs of a deployment from now on; `name` is the automation's."""
    if not await client.read_automations_by_name(name):
        await client.create_automation(ending_silent(name, deployment, SILENCE_SECONDS))


def ending_silent(name: str, deployment: UUID, seconds: float) -> AutomationCore:
    """Sets a run Crashed that gave no sign of life for so many seconds, as one whose worker was killed."""
    ended = [f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed", REFUSED)]
    alive = "prefect.flow-run.heartbeat"
    return AutomationCore(
        name=name,
        trigger=EventTrigger(
            after={alive},
            expect={alive, *ended},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification({"prefect.resource.id": f"prefect.deployment.{deployment}"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, name=None, message="its worker gives no sign of life", force=False
            )
        ],
    )
