"""One file per model family that lives in an environment of its own; only `server` loads them there.

Each has one function, `load(order)`, that answers the package's own ASE calculator and facts on
it: `elements` (atomic numbers) and `distributions` (packages whose versions matter). The order has
`checkpoint` (a path), `device`, `threads` and `settings` (those of the model's card). They may
import nothing of mofsim.
"""
