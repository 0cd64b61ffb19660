"""The six calculations: plain functions on ASE atoms that return typed documents.

Each module's `run` takes atoms, a `MeteredCalculator`, its parameters, a work folder and a
monitor. The atoms handed in are never changed.
"""
