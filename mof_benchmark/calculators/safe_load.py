"""Read weight files without running code that may hide in them.

A pickle can call any function when it is read. `torch.load(weights_only=True)` builds only
tensors, plain containers and the few kinds allowed here; everything else is refused.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct

from mof_benchmark.errors import ModelLoadError, UnsafeModelFileError

# torch keeps the allowed kinds in one table of the process, so only one load at a time may
# extend it.
_LOCK = threading.Lock()

_NUMPY_ARRAYS: list[Any] = [
    # Checkpoints written under NumPy 1 spell the module without the underscore.
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
    (_reconstruct, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64", "bool")),
]


def allow_e3nn_constants() -> None:
    """Let e3nn 0.4.4 read its own table of Wigner matrices under torch >= 2.6.

    Must run before e3nn is imported; `slice` is a harmless builtin
    (https://github.com/e3nn/e3nn/issues/478).
    """
    torch.serialization.add_safe_globals([slice])


def load_weights(path: Path) -> dict[str, Any]:
    """Read a checkpoint of tensors, NumPy arrays and plain containers.

    Raises
    ------
    UnsafeModelFileError
        When the file asks for anything else.
    ModelLoadError
        When it is not a readable checkpoint of a dictionary.
    """
    try:
        with _LOCK, torch.serialization.safe_globals(_NUMPY_ARRAYS):
            # `weights_only` is explicit: mace sets an environment variable at import that
            # turns it off wherever it is left out.
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked_for = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked_for is not None:
            raise UnsafeModelFileError(
                f"{path.name} holds more than weights and was not read: it asks for {asked_for[1]}."
            ) from None
        raise ModelLoadError(f"{path.name} is not a readable checkpoint.") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelLoadError(f"{path.name} is not a readable checkpoint: {type(error).__name__}.") from None
    if not isinstance(loaded, dict):
        raise ModelLoadError(f"{path.name} holds a {type(loaded).__name__}, not a checkpoint.")
    return loaded


def sha256_of_file(path: Path) -> str:
    """Digest of a file of any size."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
