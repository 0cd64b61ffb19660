"""The process of another environment that holds one model: reads a structure, answers with forces.

Run as a script, so this file may import nothing but what every model environment has: Python,
NumPy and ASE. It ends when the other side closes the socket, however that comes about.

A message is a line of JSON and the bytes of its arrays; `multiprocessing` frames it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from importlib import metadata
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from ase import Atoms

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
            calculator, facts = _FAMILIES[order["family"]](order)
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
    return {name: np.asarray(results[name], dtype=float) for name in names if name in results}


def _sevennet(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import torch

    # e3nn before 0.5 cannot read its own constants otherwise (https://github.com/e3nn/e3nn/issues/478).
    torch.serialization.add_safe_globals([slice])
    from sevenn.calculator import SevenNetCalculator

    torch.set_num_threads(order["threads"])
    calculator = SevenNetCalculator(
        order["checkpoint"], device=order["device"], modal=order["settings"].get("modal")
    )
    elements = [int(number) for number in calculator.type_map]
    return calculator, {
        "elements": elements,
        "versions": _versions("sevenn", "e3nn", "torch", "ase", "numpy"),
    }


def _versions(*distributions: str) -> dict[str, str]:
    return {name: metadata.version(name) for name in distributions}


_FAMILIES = {"sevennet": _sevennet}

if __name__ == "__main__":
    socket = int(sys.argv[1])
    # Only this process may hold the socket: a child that kept it would outlive us.
    os.set_inheritable(socket, False)
    main(socket)
