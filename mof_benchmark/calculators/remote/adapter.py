"""Load a model of another environment behind the ordinary contract.

`load` has the signature of every family's adapter. The model lives in a process of its own as
long as the potential or one of its calculators does.
"""

from __future__ import annotations

import hashlib
import socket
import subprocess
import tempfile
import threading
import weakref
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.registry import environment_python, weights_path
from mof_benchmark.calculators.remote import server
from mof_benchmark.calculators.safe_load import load_weights, sha256_of_file
from mof_benchmark.errors import CalculationFailedError, ModelLoadError, ModelWeightsMissingError

_BARE_WEIGHTS = frozenset({"sevennet", "mattersim", "posegnn"})
"""Families whose checkpoint is one file of weights; matgl's is a folder that it reads as such."""
_SECONDS_TO_LOAD = 600.0
_SECONDS_TO_END = 10.0


def load(card: ModelCard, *, device: str, dtype: str, models_dir: Path) -> Potential:
    """Load a model whose package lives in `<models_dir>/environments`; see `contract`.

    Raises
    ------
    ModelLoadError
        When the environment cannot load it, with that package's own words; or when double
        precision is asked for, which these packages do not offer.
    UnsafeModelFileError
        When the file holds more than weights. Checkpoints of torch are read here first, where
        reading runs nothing; a file that passes has nothing to run in the other environment either.
        Those of fairchem and GRACE are read only there: get them from whom you trust.
    """
    python = environment_python(card, models_dir)
    if python is None or not python.exists():
        raise ModelWeightsMissingError(f"{card.name} has no environment on this host.", field="model")
    if dtype != "float32":
        raise ModelLoadError(f"{card.name} is evaluated in float32 only.", field="model")
    path = weights_path(card, models_dir)
    if card.framework in _BARE_WEIGHTS:
        load_weights(path)
    model = RemoteModel(python)
    order = {
        "family": card.framework,
        "checkpoint": str(path.absolute()),
        "device": device,
        "threads": torch.get_num_threads(),
        "settings": card.settings,
    }
    try:
        facts, _ = model.ask(order, timeout=_SECONDS_TO_LOAD)
    except CalculationFailedError as error:
        model.close()
        raise ModelLoadError(f"{card.name} could not be loaded: {error.detail}", field="model") from None
    return Potential(
        card=card,
        device=device,
        dtype=dtype,
        checkpoint_sha256=_digest(path),
        elements=frozenset(facts["elements"]),
        make_calculator=lambda: RemoteCalculator(model),
        package_versions=facts["versions"],
    )


def _digest(path: Path) -> str:
    """Digest of a file, or of the names and digests of a folder's files."""
    if path.is_file():
        return sha256_of_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = (f"{file.relative_to(path).as_posix()} {sha256_of_file(file)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class RemoteModel:
    """A server process and the line to it; one question at a time."""

    def __init__(self, python: Path) -> None:
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        with theirs:
            # Isolated: our paths and variables must not leak into the other environment.
            self._process = subprocess.Popen(
                [python, "-I", server.__file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
            )
        self._connection = Connection(ours.detach())
        self._lock = threading.Lock()
        self.close = weakref.finalize(self, _end, self._process, self._connection, self._errors)

    @property
    def pid(self) -> int:
        """Process that holds the model."""
        return self._process.pid

    def ask(
        self,
        header: dict[str, Any],
        arrays: dict[str, np.ndarray] | None = None,
        *,
        timeout: float | None = None,
    ) -> server.Message:
        """Send a message and wait for its answer.

        Raises
        ------
        CalculationFailedError
            With the other side's words, or with its last output when it is gone.
        """
        with self._lock:
            try:
                server.send(self._connection, header, arrays)
                if not self._connection.poll(timeout):
                    raise CalculationFailedError(f"The model's process was silent for {timeout:.0f} s.")
                answer, results = server.receive(self._connection)
            except (EOFError, OSError):
                raise CalculationFailedError(f"The model's process ended: {self._last_words()}") from None
        if "error" in answer:
            raise CalculationFailedError(answer["error"])
        return answer, results

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing."


def _end(process: subprocess.Popen[bytes], connection: Connection, errors: Any) -> None:
    connection.close()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    errors.close()


class RemoteCalculator(Calculator):
    """A model of another environment in ASE: energy, forces and stress in one question.

    `model_seconds` is what the last question took in the other process itself.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, model: RemoteModel) -> None:
        super().__init__()
        self._model = model
        self.model_seconds = 0.0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        structure = {
            "numbers": self.atoms.numbers,
            "positions": self.atoms.positions,
            "cell": self.atoms.cell.array,
            "pbc": self.atoms.pbc,
        }
        answer, results = self._model.ask({}, structure)
        self.model_seconds = float(answer["seconds"])
        # The atoms' energies add up in double, where the package's own total is a float32.
        energy = float(results["energies" if "energies" in results else "energy"].sum())
        self.results = {**results, "energy": energy, "free_energy": energy}
