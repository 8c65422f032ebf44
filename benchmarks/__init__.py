"""Benchmarks: `make bench`, and `python -m benchmarks.gpu` on a GPU machine."""

import os

# A bar for each of a hundred short pretrainings says nothing.
os.environ.setdefault("TQDM_DISABLE", "1")
