"""Swap the layers of a SevenNet model for the fused network, in place."""

from __future__ import annotations

from typing import Any

import torch

from mof_benchmark.calculators.fused.network import FusedNetwork

ACCELERATOR = "fused convolution (LLVM, CPU)"


class FusedLayers(torch.nn.Module):
    """All layers of an `AtomGraphSequential` in one, on sevenn's own dictionary of tensors."""

    def __init__(self, network: FusedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, data: dict[str, Any]) -> dict[str, Any]:
        """Fill in energies (eV), forces (eV/Å) and stress (eV/Å³, sevenn's sign and order)."""
        centre, neighbour = data["edge_index"].numpy()
        found = self.network.evaluate(data["x"].numpy(), data["edge_vec"].detach().numpy(), centre, neighbour)
        virial = found.virial_eV
        data["atomic_energy"] = torch.as_tensor(found.energies_eV)[:, None]
        data["inferred_total_energy"] = torch.as_tensor(found.energies_eV).sum()
        data["inferred_force"] = torch.as_tensor(found.forces_eV_A)
        data["inferred_stress"] = (
            -torch.as_tensor(virial[[0, 1, 2, 0, 1, 2], [0, 1, 2, 1, 2, 0]]) / data["cell_volume"]
        )
        return data


def fuse(model: torch.nn.Module) -> torch.nn.Module:
    """Swap the layers of a SevenNet model for the fused network.

    Parameters
    ----------
    model
        An `AtomGraphSequential` on the CPU, for one structure at a time (not batched). It can no
        longer be trained or moved to a GPU afterwards.

    Returns
    -------
    torch.nn.Module
        The same model.

    Raises
    ------
    UnsupportedModelError
        When the model has a layer that the fused network does not know; it is left as it was.
    """
    network = FusedNetwork(model)
    for name in list(dict(model.named_children())):
        delattr(model, name)
    model.add_module("fused", FusedLayers(network))
    return model
