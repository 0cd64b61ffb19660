"""Files made to do harm: each would leave a marker if anything in it ran."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.mof_benchmark.calculators.test_mace import GraphTrick


class Calls:
    """Pickled, it asks for a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function = function
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def archive(records: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive as it stands."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in records.items():
            file.writestr(name, content)
    return buffer.getvalue()


def around(pickled: bytes) -> bytes:
    """A PyTorch archive with this `data.pkl`."""
    return archive({"model/data.pkl": pickled, "model/version": b"3\n"})


def saved(thing: Any) -> bytes:
    """What `torch.save` makes of it."""
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def with_source(source: str) -> bytes:
    """A graph module with this source, as PyTorch pickles one."""
    return saved({"net": Calls(_reduce_graph_module(), {"_code": source}, "")})


def _reduce_graph_module() -> Any:
    from torch.fx.graph_module import reduce_graph_module

    return reduce_graph_module


def good() -> bytes:
    return saved({"weight": torch.ones(3)})


def _link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        info = zipfile.ZipInfo("model/version")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
        file.writestr("model/data.pkl", pickle.dumps({}, protocol=2))
    return buffer.getvalue()


def _chain(marker: Path) -> Calls:
    """The function to call is itself the outcome of calls."""
    return Calls(getattr, Calls(__import__, "os"), f"system; touch {marker}")


def _stack_global(marker: Path) -> bytes:
    """Protocol 4 takes the names of what it imports from the stack."""
    return pickle.dumps(Calls(os.system, f"touch {marker}"), protocol=4)


def _spliced(marker: Path) -> bytes:
    """A second pickle behind the end of the first."""
    return pickle.dumps({}, protocol=2) + pickle.dumps(Calls(os.system, f"touch {marker}"), protocol=2)


def _instance(marker: Path) -> bytes:
    """The old INST instruction imports and calls in one."""
    return b"(S'touch " + str(marker).encode() + b"'\nios\nsystem\n."


def _overlapping() -> bytes:
    """Many records in the directory share the bytes of one (D. Fifield, USENIX WOOT 2019)."""
    content = b"\0" * 200_000
    one = archive({"model/data.pkl": pickle.dumps({}, protocol=2), "model/data/0": content})
    directory = one.index(b"PK\x01\x02")
    end = one.rindex(b"PK\x05\x06")
    entries = one[directory:end]
    last = entries.rindex(b"PK\x01\x02")
    copies = b"".join(
        entries[last:].replace(b"model/data/0", f"model/data/{number}".encode()) for number in range(1, 10)
    )
    tail = bytearray(one[end:])
    tail[8:12] = struct.pack("<HH", 11, 11)
    tail[12:16] = struct.pack("<I", len(entries) + len(copies))
    return one[:end] + copies + bytes(tail)


UNSAFE: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda marker: saved({"w": Calls(os.system, f"touch {marker}")}),
    "builtins.eval": lambda marker: saved({"w": Calls(eval, f"open({str(marker)!r}, 'w')")}),
    "builtins.exec": lambda marker: saved({"w": Calls(exec, f"open({str(marker)!r}, 'w')")}),
    "builtins.open": lambda marker: saved({"w": Calls(builtins.open, str(marker), "w")}),
    "subprocess": lambda marker: saved({"w": Calls(subprocess.call, ["touch", str(marker)])}),
    "a nested pickle": lambda marker: saved(
        {"w": Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {marker}")))}
    ),
    "torch.load of bytes": lambda marker: saved(
        {"w": Calls(torch.load, Calls(io.BytesIO, saved(Calls(os.system, f"touch {marker}"))))}
    ),
    "a chain of calls": lambda marker: saved({"w": _chain(marker)}),
    "names from the stack": lambda marker: around(_stack_global(marker)),
    "an old instruction": lambda marker: around(_instance(marker)),
    "a second pickle": lambda marker: around(_spliced(marker)),
    "a graph module": lambda marker: saved(GraphTrick(marker)),
    "source that imports": lambda marker: with_source(
        f"import torch, os\nimport subprocess\ndef forward(self, x):\n    os.system('touch {marker}')\n"
    ),
    "source that evaluates": lambda marker: with_source(
        f"import torch\ndef forward(self, x):\n    eval(\"open('{marker}', 'w')\")\n"
    ),
    "a path out of the archive": lambda marker: archive(
        {"model/data.pkl": pickle.dumps({}, protocol=2), f"../../../../{marker}": b"here"}
    ),
    "an absolute path": lambda marker: archive(
        {"model/data.pkl": pickle.dumps({}, protocol=2), str(marker): b"here"}
    ),
    "a link": lambda marker: _link(),
    "a zip bomb": lambda marker: archive(
        {"model/data.pkl": pickle.dumps({}, protocol=2), "model/data/0": b"\0" * 50_000_000},
        compression=zipfile.ZIP_DEFLATED,
    ),
    "overlapping records": lambda marker: _overlapping(),
    "code beside the weights": lambda marker: archive(
        {"model/data.pkl": pickle.dumps({}, protocol=2), "model/setup.py": b"import os"}
    ),
    "TorchScript": lambda marker: _torchscript(),
}
"""Files that must be refused with 40009."""


def _torchscript() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


BROKEN: dict[str, Callable[[Path], bytes]] = {
    "an empty archive": lambda marker: archive({}),
    "half a file": lambda marker: good()[: len(good()) // 2],
    "a file without its last byte": lambda marker: good()[:-1],
    "a changed byte": lambda marker: good().replace(struct.pack("<f", 1.0), struct.pack("<f", 2.0), 1),
    "a bare pickle": lambda marker: pickle.dumps(Calls(os.system, f"touch {marker}")),
    "a script": lambda marker: f"#!/bin/sh\ntouch {marker}\n".encode(),
    "a gzip file": lambda marker: b"\x1f\x8b\x08\x00" + bytes(64),
    "a tar archive": lambda marker: b"evil".ljust(257, b"\0") + b"ustar\x0000" + bytes(512),
    "an HDF5 file": lambda marker: b"\x89HDF\r\n\x1a\n" + bytes(64),
    "text": lambda marker: b"not a model",
    "a pickle cut short": lambda marker: around(pickle.dumps({"weight": "x" * 100}, protocol=2)[:-20]),
    "no pickle at all": lambda marker: archive({"model/version": b"3\n"}),
}
"""Files that are no models, whatever they are named: refused with 40005."""
