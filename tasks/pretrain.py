"""Pretrain one cell's backbone on unlabelled images: `python -m tasks.pretrain VARIANT SEED`."""
