"""An ASE calculator whose energies are computed by the service (needs the extra `ase`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mofsim_client._client import MOFSimClient
from mofsim_client._documents import Priority
from mofsim_client._exceptions import MissingPackageError, MOFSimError

try:
    import numpy as np
    from ase import Atoms
    from ase.calculators.calculator import Calculator, all_changes
except ImportError as error:
    raise MissingPackageError("This needs ASE: pip install 'mofsim-client[ase]'.") from error


class MOFSimCalculator(Calculator):
    """Energy, forces and stress of a served model, for existing ASE scripts.

    Each new geometry is one single-point task: it waits in the queue, and its request takes some
    tenths of a second beside the model's own time. So this is for scripts that need a few hundred
    evaluations, and for trying things; a whole relaxation or dynamics is far cheaper as a task of
    its own (`submit_optimization`, `submit_stability`), where the steps run beside the model.
    A geometry asked for again is answered from ASE's cache and costs nothing.

    Parameters
    ----------
    client
        A blocking client; it stays open.
    model
        Registry name of the potential.
    with_d3
        Add PBE-D3(BJ) dispersion; unset: as the model's registry entry says.
    priority
        Queue of its tasks.
    timeout
        Longest wait for one evaluation, s; None waits for ever.
    tags
        Words to find its tasks by.
    keep
        False: delete each task and its structure as soon as its numbers are here (needs a key with
        the scope `admin`).

    Raises
    ------
    WaitTimeoutError, TaskError
        From `get_potential_energy` and its like, as `task.wait` does.

    Examples
    --------
    >>> atoms.calc = MOFSimCalculator(client, "sevennet_prod")  # doctest: +SKIP
    >>> BFGS(atoms).run(fmax=0.05)  # doctest: +SKIP
    """

    implemented_properties: list[str] = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        client: MOFSimClient,
        model: str,
        *,
        with_d3: bool | None = None,
        priority: Priority = "NORMAL",
        timeout: float | None = None,
        tags: Sequence[str] = ("calculator",),
        keep: bool = True,
    ) -> None:
        super().__init__()
        self.client = client
        self.model = model
        self.with_d3 = with_d3
        self.priority: Priority = priority
        self.timeout = timeout
        self.tags = tuple(tags)
        self.keep = keep

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Have the present geometry evaluated; ASE calls this when something it needs has changed."""
        super().calculate(atoms, list(properties), list(system_changes))
        geometry = atoms if atoms is not None else self.atoms
        if geometry is None:
            raise MOFSimError("The calculator was given no atoms.")
        task = self.client.submit_single_point(
            geometry,
            self.model,
            with_d3=self.with_d3,
            priority=self.priority,
            tags=self.tags,
            compute_stress=bool(geometry.pbc.all()),
        )
        result = task.wait(self.timeout)
        found: dict[str, Any] = {"energy": result.energy_eV, "free_energy": result.energy_eV}
        if result.forces_eV_A is not None:
            found["forces"] = np.array(result.forces_eV_A)
        if result.stress_eV_A3 is not None:
            found["stress"] = np.array(result.stress_eV_A3)
        self.results = found
        if not self.keep:
            structure_id = task.info.structure_id
            self.client.delete_task(task.id)
            if structure_id is not None:
                self.client.delete_structure(structure_id)
