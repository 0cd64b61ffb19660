"""What a model's name stands for on a host: an entry of the registry, or an upload that was validated."""

from __future__ import annotations

from pathlib import Path

from mof_benchmark.calculators import registry
from mof_benchmark.calculators.contract import ModelCard
from mof_benchmark.calculators.custom.settings import card_of
from mof_benchmark.errors import ModelNotFoundError
from mof_benchmark.schemas.custom_model import CustomModelCard
from tasks.database import ReportDatabase


class ModelCards:
    """Finds a model's card by its name; an upload is asked for each time, so a deleted one is gone.

    Parameters
    ----------
    database
        Knows which uploads are validated.
    storage_root
        Where their weights lie.
    """

    def __init__(self, database: ReportDatabase, storage_root: Path) -> None:
        self._database = database
        self._storage_root = storage_root

    def __call__(self, name: str) -> ModelCard:
        """Answer the card.

        Raises
        ------
        ModelNotFoundError
            When there is neither an entry nor a validated upload of that name.
        """
        if registry.knows(name):
            return registry.card(name)
        stored = self._database.custom_model(name)
        if stored is None:
            raise ModelNotFoundError(f"There is no validated model {name!r}.", field="model")
        with_d3 = bool(stored.pop("with_d3"))
        return card_of(name, with_d3, CustomModelCard.model_validate(stored), self._storage_root)
