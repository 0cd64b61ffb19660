"""The process that reads an uploaded model and tries it: `python -m …custom.validation ORDER`.

It confines itself before it imports what could be attacked, and leaves `report.json` and
`weights.pt` in its work folder. Who reads them must not trust them (`runner` does not).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from mof_benchmark.calculators.custom.confinement import Limits, confine

REPORT, WEIGHTS = "report.json", "weights.pt"


def main(order_file: Path) -> None:
    """Do what an order says: `{upload, framework, config, name, with_d3, folder, limits}`."""
    order = json.loads(order_file.read_text())
    folder, upload = Path(order["folder"]), Path(order["upload"])
    held = confine(Limits(**order["limits"]), readable=[order_file, upload], writable=folder)
    begun = time.monotonic()
    document = _validate(order, upload, folder)
    document |= {
        "confinement": held,
        "seconds": round(time.monotonic() - begun, 2),
        "peak_memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    (folder / REPORT).write_text(json.dumps(document))


def _validate(order: dict[str, Any], upload: Path, folder: Path) -> dict[str, Any]:
    from mof_benchmark.calculators.custom.scan import scan
    from mof_benchmark.errors import MofsimError

    try:
        scan(upload, order["framework"])
        return _try_model(order, upload, folder)
    except MofsimError as error:
        return _failure(error.code, type(error).__name__, error.detail)
    except MemoryError:
        return _failure(50007, "OutOfMemoryError", "The model needs more memory than a validation may use.")
    except Exception as error:
        return _failure(50010, "ModelLoadError", f"{type(error).__name__}: {str(error)[:500]}")


def _failure(code: int, kind: str, detail: str) -> dict[str, Any]:
    return {"passed": False, "error": {"code": code, "type": kind, "detail": detail}}


def _try_model(order: dict[str, Any], upload: Path, folder: Path) -> dict[str, Any]:
    import torch
    from ase.data import chemical_symbols

    from mof_benchmark.calculators.custom.checks import Loaded, all_required_pass, check
    from mof_benchmark.calculators.custom.extract import extract
    from mof_benchmark.calculators.loading import load_card

    torch.set_num_threads(1)
    card = extract(
        upload,
        order["framework"],
        order["config"],
        name=order["name"],
        with_d3=order["with_d3"],
        weights=folder / WEIGHTS,
    )
    single, double = (load_card(card, dtype=dtype, models_dir=folder) for dtype in (card.dtype, "float64"))
    orb = card.framework == "orb"
    architecture = str(card.settings.get("architecture", ""))
    model = Loaded(
        single,
        double,
        direct_forces=orb and "conservative" not in architecture,
        learned_rotations=orb,
    )
    checks = list(check(model))
    return {
        "passed": all_required_pass(checks),
        "checks": [one.model_dump() for one in checks],
        "elements": [chemical_symbols[number] for number in sorted(single.elements)],
        "package_versions": single.package_versions,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
