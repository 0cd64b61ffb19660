"""A result as a table and a picture for Prefect's UI."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from mof_benchmark.schemas import CalculationRequest, CalculationResult
from tasks.files import find_file

PICTURE_WIDTH = 720
"""Pixels: Prefect keeps the picture in its database and sends it with every list of artifacts."""
PICTURE_COLOURS = 64


def summary_table(request: CalculationRequest, result: CalculationResult) -> str:
    """Markdown: the numbers of a result, then its warnings and files."""
    rows = [
        ("task", f"`{request.task_id}` (attempt {request.attempt})"),
        ("structure", request.structure.name),
        ("model", request.model),
        ("GPU", str(request.gpu_id)),
        ("converged", "yes" if result.converged else "**no**"),
    ]
    rows += [
        (f"`{name}`", f"{value:.6g}" if isinstance(value, float) else str(value))
        for name, value in result
        if isinstance(value, (int, float, str)) and not isinstance(value, bool)
    ]
    rows += [
        ("force evaluations", str(result.metrics.force_evaluations)),
        ("seconds in model / D3", f"{result.metrics.model_seconds:.2f} / {result.metrics.d3_seconds:.2f}"),
    ]
    table = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    notes = [f"> {warning}" for warning in result.warnings]
    files = [f"- {file.role}: `{file.path}`" for file in result.output_files]
    return "\n\n".join("\n".join(part) for part in (table, notes, files) if part)


def main_plot(result: CalculationResult, workdirs: Sequence[Path]) -> str | None:
    """The first plot of a result, made small, as an address that holds the picture itself.

    Raises
    ------
    FileNotFoundError
        When the plot's file is gone.
    """
    plot = next((file for file in result.output_files if file.media_type == "image/png"), None)
    if plot is None:
        return None
    # Only here: the pool worker need not load it to run flows.
    from PIL import Image

    with Image.open(find_file(plot, workdirs)) as image:
        height = round(image.height * PICTURE_WIDTH / image.width)
        small = image.convert("RGB").resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    packed = io.BytesIO()
    small.quantize(PICTURE_COLOURS).save(packed, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
