"""Writing LLVM assembly: a few words for loops and vector arithmetic.

numba would take half a minute of typing and lowering for the kernels of one model, and its loop
vectorizer guards each loop against overlapping arrays. The kernels are simple enough to be said in
LLVM's own words (with numba's own LLVM), which compile in seconds and mean vectors from the start.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class FunctionWriter:
    """One function under construction; values are named by the strings its methods return.

    Parameters
    ----------
    name
        The function's name.
    arguments
        (type, name) pairs; `ptr` arguments are promised not to overlap.
    real
        `float` or `double`: the type of all array elements but indices and distances.
    """

    def __init__(self, name: str, arguments: Sequence[tuple[str, str]], real: str) -> None:
        self.real = real
        self._count = 0
        self._block = "entry"
        self._slots: list[str] = []
        self._lines: list[str] = []
        self._intrinsics: set[str] = set()
        listed = ", ".join(
            f"ptr noalias nocapture %{a}" if kind == "ptr" else f"{kind} %{a}" for kind, a in arguments
        )
        self._head = f"define void @{name}({listed}) nounwind {{\nentry:"

    def text(self) -> str:
        declarations = "\n".join(sorted(self._intrinsics))
        return "\n".join([self._head, *self._slots, *self._lines, "  ret void", "}", declarations])

    def let(self, expression: str) -> str:
        """Name the value of an instruction."""
        self._count += 1
        self._lines.append(f"  %v{self._count} = {expression}")
        return f"%v{self._count}"

    def slot(self, kind: str) -> str:
        """A local variable; LLVM turns it into a register."""
        self._count += 1
        self._slots.append(f"  %s{self._count} = alloca {kind}")
        return f"%s{self._count}"

    def put(self, kind: str, value: str, pointer: str) -> None:
        self._lines.append(f"  store {kind} {value}, ptr {pointer}, align {self.size(self.real)}")

    def get(self, kind: str, pointer: str, align: int | None = None) -> str:
        return self.let(f"load {kind}, ptr {pointer}, align {align or self.size(self.real)}")

    def at(self, kind: str, base: str, index: str) -> str:
        """Address of element `index` of an array."""
        return self.let(f"getelementptr inbounds {kind}, ptr {base}, i64 {index}")

    def add(self, *terms: str | int) -> str:
        """Sum of integers."""
        return self._fold("add nsw", terms)

    def times(self, *factors: str | int) -> str:
        """Product of integers."""
        return self._fold("mul nsw", factors)

    def _fold(self, operation: str, terms: Sequence[str | int]) -> str:
        total = str(terms[0])
        for term in terms[1:]:
            total = self.let(f"{operation} i64 {total}, {term}")
        return total

    @contextmanager
    def loop(self, start: str, end: str, step: int = 1) -> Iterator[str]:
        """Run the body for an index from `start` up to `end` (exclusive)."""
        self._count += 1
        tag, before = f"loop{self._count}", self._block
        self._lines += [f"  br label %{tag}.test", f"{tag}.test:"]
        index = f"%{tag}.i"
        self._lines.append("")
        place = len(self._lines) - 1
        self._lines += [
            f"  %{tag}.more = icmp slt i64 {index}, {end}",
            f"  br i1 %{tag}.more, label %{tag}.body, label %{tag}.end",
            f"{tag}.body:",
        ]
        self._block = f"{tag}.body"
        yield index
        following = self.let(f"add nsw i64 {index}, {step}")
        self._lines[place] = f"  {index} = phi i64 [ {start}, %{before} ], [ {following}, %{self._block} ]"
        self._lines += [f"  br label %{tag}.test", f"{tag}.end:"]
        self._block = f"{tag}.end"

    def vector(self, width: int) -> str:
        return f"<{width} x {self.real}>"

    def number(self, value: float) -> str:
        """A constant of the real type, as LLVM wants it spelt."""
        if self.real == "float":
            value = struct.unpack("f", struct.pack("f", value))[0]
        return f"0x{struct.unpack('Q', struct.pack('d', value))[0]:016X}"

    def splat(self, scalar: str, width: int) -> str:
        kind = self.vector(width)
        single = self.let(f"insertelement {kind} poison, {self.real} {scalar}, i64 0")
        return self.let(f"shufflevector {kind} {single}, {kind} poison, <{width} x i32> zeroinitializer")

    def constant(self, value: float, width: int) -> str:
        return f"splat ({self.real} {self.number(value)})"

    def multiply(self, kind: str, a: str, b: str) -> str:
        return self.let(f"fmul {kind} {a}, {b}")

    def subtract(self, kind: str, a: str, b: str) -> str:
        return self.let(f"fsub {kind} {a}, {b}")

    def multiply_add(self, kind: str, a: str, b: str, c: str | None) -> str:
        """a · b + c, or a · b without c."""
        if c is None:
            return self.multiply(kind, a, b)
        name = f"llvm.fma.{_mangled(kind)}"
        self._intrinsics.add(f"declare {kind} @{name}({kind}, {kind}, {kind})")
        return self.let(f"call {kind} @{name}({kind} {a}, {kind} {b}, {kind} {c})")

    def total(self, vector: str, width: int) -> str:
        """Sum of a vector's elements."""
        kind = self.vector(width)
        if width == 1:
            return self.let(f"extractelement {kind} {vector}, i64 0")
        name = f"llvm.vector.reduce.fadd.{_mangled(kind)}"
        self._intrinsics.add(f"declare {self.real} @{name}({self.real}, {kind})")
        zero = self.number(0.0)
        return self.let(f"call reassoc {self.real} @{name}({self.real} {zero}, {kind} {vector})")

    @staticmethod
    def size(real: str) -> int:
        return 4 if real == "float" else 8


def _mangled(kind: str) -> str:
    short = {"float": "f32", "double": "f64"}
    if not kind.startswith("<"):
        return short[kind]
    width, real = kind.strip("<>").split(" x ")
    return f"v{width}{short[real]}"
