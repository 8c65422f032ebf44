"""A run as the page starts it: serves the project, has the worker run the pipeline, and ends as that ends."""

import subprocess
import sys
import time
from contextlib import suppress

import httpx
from ports import free_port

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def ended(server: subprocess.Popen[str], run: str) -> str:
    """How the run ended; nothing where the server did before."""
    with httpx.Client(timeout=5) as client:
        while server.poll() is None:
            with suppress(httpx.HTTPError):
                state = client.get(run).raise_for_status().json()["state"]
                if state["type"] in ENDED:
                    return f"{state['type']}: {state['message']}"
            time.sleep(0.5)
    return ""


def main() -> None:
    """Exit code 0 where the run completed."""
    ports = {name: free_port() for name in ("mlflow", "prefect", "reports")}
    command = [sys.executable, "-m", "flows.serve", *(f"--{name}-port={port}" for name, port in ports.items())]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    if not any(line.startswith("Reports") for line in server.stdout):
        sys.exit("it is not served")
    api = f"http://127.0.0.1:{ports['prefect']}/api"
    pipeline = httpx.get(f"{api}/deployments/name/stopgrad/pipeline", timeout=30).raise_for_status().json()["id"]
    made = httpx.post(f"{api}/deployments/{pipeline}/create_flow_run", json={"parameters": {"slots": 2}}, timeout=30)
    print("the run begins", flush=True)
    how = ended(server, f"{api}/flow_runs/{made.raise_for_status().json()['id']}")
    print(how, flush=True)
    if server.poll() is None:
        server.terminate()
    server.wait()
    sys.exit(0 if how.startswith("COMPLETED") else 1)


if __name__ == "__main__":
    main()
