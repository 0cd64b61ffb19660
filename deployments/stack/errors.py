"""What can be wrong with starting or stopping a stack, said to the person at the terminal."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot do what was asked; the text says why and what to do."""
