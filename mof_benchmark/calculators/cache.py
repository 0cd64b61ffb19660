"""Loaded models kept warm: a thread-safe cache that lets the least recently used go."""

from __future__ import annotations

import gc
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mof_benchmark.calculators import registry
from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.loading import load_card


@dataclass(frozen=True)
class _Key:
    name: str
    weights: str
    """Digest of an uploaded model's weights: its name may come to mean another one."""
    device: str
    dtype: str


class ModelCache:
    """Potentials by (name, device, precision), at most `budget` of them.

    Loading happens under the lock: two tasks asking for one model load it once, and a device is
    never asked to hold two models while their loading overlaps.

    Parameters
    ----------
    budget
        Most potentials kept; the least recently used leaves.
    models_dir
        Folder of model weights.
    find_card
        Says what a name stands for; the registry's names by default.
    """

    def __init__(
        self, budget: int, *, models_dir: Path, find_card: Callable[[str], ModelCard] = registry.card
    ) -> None:
        if budget < 1:
            raise ValueError("A cache of models needs room for one.")
        self._budget = budget
        self._models_dir = models_dir
        self._find_card = find_card
        self._lock = threading.RLock()
        self._potentials: OrderedDict[_Key, Potential] = OrderedDict()

    def names(self) -> list[str]:
        """Registry names of the loaded models, least recently used first."""
        with self._lock:
            return list(dict.fromkeys(key.name for key in self._potentials))

    def load(self, name: str, *, device: str = "cpu", dtype: str | None = None) -> Potential:
        """Return the model, loading it first where it is not warm.

        Raises
        ------
        ModelNotFoundError, ModelWeightsMissingError, ModelLoadError, UnsafeModelFileError
            As `load_potential`; or what `find_card` raises.
        """
        card = self._find_card(name)
        key = _Key(name, card.settings.get("sha256", ""), device, dtype or card.dtype)
        with self._lock:
            if key not in self._potentials:
                # Room is made before loading, so that a device never holds one model too many.
                while len(self._potentials) >= self._budget:
                    self._potentials.popitem(last=False)
                    release_memory()
                self._potentials[key] = load_card(
                    card, device=device, dtype=key.dtype, models_dir=self._models_dir
                )
            self._potentials.move_to_end(key)
            return self._potentials[key]

    def keep_only(self, name: str) -> list[str]:
        """Drop every other model, and what this one keeps to be faster; says which, oldest use first."""
        with self._lock:
            others = [other for other in self.names() if other != name]
            for other in others:
                self.unload(other)
            for potential in self._potentials.values():
                potential.forget()
            release_memory()
            return others

    def unload(self, name: str) -> bool:
        """Drop a model in every precision; says whether it was loaded."""
        with self._lock:
            mine = [key for key in self._potentials if key.name == name]
            for key in mine:
                del self._potentials[key]
            release_memory()
            return bool(mine)


def release_memory() -> None:
    """Give freed blocks back to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
