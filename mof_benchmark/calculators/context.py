"""Whether a device still computes for this process."""

from __future__ import annotations


def failure_of(device: str) -> str | None:
    """Why nothing can be computed on a device any more; None while it works, and on a CPU.

    An illegal access, a failed assertion or an error of the driver leaves a process a CUDA context in
    which every later call fails. Only another process gets another one.
    """
    if not device.startswith("cuda"):
        return None
    import torch

    try:
        torch.zeros(1, device=device).add_(1).cpu()
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return None
