"""Stages of the six calculations as Prefect tasks, and what an attempt reports while it runs.

A stage (`single_point.py`, `optimization.py`, …) is a thin Prefect task over one function of
`mof_benchmark.calculations`. It runs on a GPU host (`host.py` is what it finds there) and reports
through `reporting.py`; `attempt.py` is the same attempt as its flow sees it, in the pool worker.
"""
