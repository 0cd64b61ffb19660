"""Structures in and out: reading with checks, the canonical form, and the built-in frameworks.

Nothing here imports torch or pymatgen: the gateway reads uploads with it.
"""
