"""Pools, the worker, GPU hosts, the embedded stack and the command line."""
