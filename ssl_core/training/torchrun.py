"""Starting a module once for each device, by torchrun."""

import logging

from ssl_core.errors import Refused


def start(processes: int, module: str, *arguments: str) -> None:
    """Run `python -m module arguments` in `processes` processes of this machine, and wait for all.

    Where one fails, the others are ended, and so is this one; raises `Refused` where it could not say why.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # The processes say themselves what went wrong; torchrun would add its own pages about it.
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    command = ["--standalone", f"--nproc-per-node={processes}", "--module", module, *arguments]
    try:
        run.run(run.parse_args(command))
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        if failure.exitcode == 1:
            raise SystemExit(1) from None  # it has said why
        raise Refused(f"process {rank} of {processes} ended with exit code {failure.exitcode}") from None
