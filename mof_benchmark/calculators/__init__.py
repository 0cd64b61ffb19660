"""Universal potentials behind one contract: `registry` says what exists, `load` makes it ready.

`registry` imports no torch and may be read anywhere; a family's adapter (`sevennet.py`,
`mace.py`, …) is imported only when one of its models is loaded.
"""
