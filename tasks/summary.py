"""A result as a table for Prefect's UI."""

from __future__ import annotations

from mof_benchmark.schemas import CalculationRequest, CalculationResult


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
