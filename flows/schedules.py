"""A deployment's schedules, which are its user's: on Prefect's page they are turned on, changed, added and removed."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

KEPT = ("schedule", "active", "max_scheduled_runs", "parameters", "slug")
"""What of a schedule the user decides."""


@contextmanager
def keeping_schedules(api: str, deployment: str) -> Iterator[None]:
    """Give a deployment, when the block has deployed it anew, the schedules that it had before.

    Prefect's own `deploy` would turn off what prefect.yaml has as turned off, and drop what was added on the page.
    """
    before = httpx.get(f"{api}/deployments/name/{deployment}", timeout=30)
    yield
    if before.status_code == httpx.codes.NOT_FOUND:
        return
    made = httpx.get(f"{api}/deployments/name/{deployment}", timeout=30).raise_for_status().json()
    address = f"{api}/deployments/{made['id']}/schedules"
    named = {schedule["slug"]: schedule["id"] for schedule in made["schedules"] if schedule["slug"]}
    kept = [{name: one[name] for name in KEPT} for one in before.raise_for_status().json()["schedules"]]
    # What is to stay first: where this is interrupted, a schedule too many is there, and none is missing.
    for schedule in kept:
        if there := named.get(schedule["slug"]):
            httpx.patch(f"{address}/{there}", json=schedule, timeout=30).raise_for_status()
    if new := [schedule for schedule in kept if schedule["slug"] not in named]:
        httpx.post(address, json=new, timeout=30).raise_for_status()
    stay = {named.get(schedule["slug"]) for schedule in kept}
    for schedule in made["schedules"]:
        if schedule["id"] not in stay:
            httpx.delete(f"{address}/{schedule['id']}", timeout=30).raise_for_status()
