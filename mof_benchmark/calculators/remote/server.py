"""The process of another environment that holds one model: reads a structure, answers with forces.

Run as a script, so this file may import nothing but what every model environment has: Python,
NumPy and ASE; `families` beside it know the packages. It ends when the other side closes the
socket, however that comes about.

A message is a line of JSON and the bytes of its arrays; `multiprocessing` frames it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import time
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

Message = tuple[dict[str, Any], dict[str, np.ndarray]]


def send(connection: Connection, header: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
    """Send plain values and arrays of numbers."""
    packed = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    kinds = [(name, array.dtype.str, array.shape) for name, array in packed.items()]
    line = json.dumps([header, kinds]).encode() + b"\n"
    connection.send_bytes(b"".join([line, *(array.tobytes() for array in packed.values())]))


def receive(connection: Connection) -> Message:
    """Receive what `send` sent.

    Raises
    ------
    EOFError
        When the other side is gone.
    """
    line, _, body = connection.recv_bytes().partition(b"\n")
    header, kinds = json.loads(line)
    arrays, start = {}, 0
    for name, kind, shape in kinds:
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(body, dtype=np.dtype(kind), count=count, offset=start)
        arrays[name] = array.reshape(shape)
        start += array.nbytes
    return header, arrays


def main(file_descriptor: int) -> None:
    """Load the model that the first message describes, then answer until the socket closes."""
    connection = Connection(file_descriptor)
    with contextlib.suppress(EOFError, ConnectionError):
        order, _ = receive(connection)
        try:
            calculator, facts = _load(order)
        except Exception as error:
            return send(connection, {"error": f"{type(error).__name__}: {error}"})
        send(connection, facts)
        while True:
            _, arrays = receive(connection)
            begun = time.perf_counter()
            try:
                answer = _evaluate(calculator, arrays)
            except Exception as error:
                send(connection, {"error": f"{type(error).__name__}: {error}"})
            else:
                send(connection, {"seconds": time.perf_counter() - begun}, answer)


def _evaluate(calculator: Any, structure: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    atoms = Atoms(
        structure["numbers"], structure["positions"], cell=structure["cell"], pbc=structure["pbc"].tolist()
    )
    calculator.results = {}
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    names = ["energy", "energies", "forces", *(["stress"] if atoms.cell.rank == 3 else [])]
    results = calculator.results
    answer = {name: np.asarray(results[name], dtype=float) for name in names if name in results}
    if "stress" in answer and answer["stress"].shape != (6,):
        answer["stress"] = full_3x3_to_voigt_6_stress(answer["stress"].reshape(3, 3))
    return answer


def _load(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load a model by the file of its family."""
    file = Path(__file__).with_name("families") / f"{order['family']}.py"
    # By path: this interpreter does not have mofsim, and our folder must not shadow its packages.
    spec = importlib.util.spec_from_file_location(f"mofsim_family_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"no family {file.stem}")
    family = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(family)
    calculator, facts = family.load(order)
    return calculator, {
        "elements": facts["elements"],
        "versions": {name: metadata.version(name) for name in facts["distributions"]},
    }


if __name__ == "__main__":
    socket = int(sys.argv[1])
    # Only this process may hold the socket: a child that kept it would outlive us.
    os.set_inheritable(socket, False)
    main(socket)
