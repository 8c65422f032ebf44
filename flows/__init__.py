"""Prefect: what runs when, where and how many at once."""
