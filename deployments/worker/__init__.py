"""The pool worker: one process that runs the flow runs of all local pools itself.

`service` is the process, `pool` one pool's Prefect worker, `run` one flow run and `engine` the
Prefect engine that drives it; `leftovers` closes what a dead worker left, `host_guard` kills hosts
that hang.
"""
