"""Models in an environment of their own, for packages whose pins conflict with ours.

A resident process of that environment (`server`) answers over a Unix socket pair; `adapter` loads
such a model behind the ordinary contract; `install` makes the environment. i-PI's protocol, which
ASE speaks, carries neither elements nor periodicity, so the messages are our own.
"""
