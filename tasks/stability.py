"""The stages of a stability run: opt, nvt, npt, judge. Dynamics go on from their last checkpoint."""

from __future__ import annotations

from mof_benchmark.schemas import (
    CalculationRequest,
    Metrics,
    OptimizationResult,
    StabilityParameters,
    StabilityResult,
)
from mof_benchmark.schemas.common import Document
from tasks.handover import find_output, output, read_relaxed, write_relaxed
from tasks.stage import Work, stage, working


class Sampled(Document):
    """What a stage of dynamics leaves besides its files: the samples and the cost."""

    series: dict[str, list[float]]
    metrics: Metrics


@stage
def opt(request: CalculationRequest) -> OptimizationResult:
    """Repeat the cell as asked for and relax the atoms."""
    from mof_benchmark.calculations import stability

    with working(request, "opt") as work:
        relaxed, relaxation = stability.opt(
            work.read_structure(),
            work.calculator(),
            StabilityParameters.model_validate(request.parameters),
            workdir=work.workdir,
            monitor=work.monitor,
            structure_sha256=request.structure.sha256,
        )
        write_relaxed(work, relaxed)
        return relaxation


@stage
def nvt(request: CalculationRequest) -> Sampled:
    """Equilibrate at constant volume."""
    with working(request, "nvt") as work:
        return _dynamics(work, "nvt", start="relaxed.traj")


@stage
def npt(request: CalculationRequest) -> Sampled:
    """Produce at constant pressure."""
    with working(request, "npt") as work:
        return _dynamics(work, "npt", start="nvt.traj")


@stage
def judge(
    request: CalculationRequest, relaxation: OptimizationResult, warm: Sampled, produced: Sampled
) -> StabilityResult:
    """Compare the end with the relaxed structure."""
    from mof_benchmark.calculations import stability
    from mof_benchmark.calculations.dynamics import Series

    with working(request, "judge") as work:
        series = Series(**{name: list(values) for name, values in produced.series.items()})  # type: ignore[arg-type]
        return stability.judge(
            work.read_structure(),
            read_relaxed(work),
            relaxation,
            stability.DynamicsRun(read_relaxed(work, "npt.traj"), series, produced.metrics),
            stability.Trajectories(nvt=output(work, "nvt.traj"), npt=output(work, "npt.traj")),
            [relaxation.metrics, warm.metrics, produced.metrics],
            StabilityParameters.model_validate(request.parameters),
            workdir=work.workdir,
        )


def _dynamics(work: Work, name: str, *, start: str) -> Sampled:
    from mof_benchmark.calculations import stability
    from mof_benchmark.calculations.dynamics import RunFiles

    checkpoint = find_output(work, stability.run_files(work.workdir, name).checkpoint.name)
    resume = None
    if checkpoint is not None:
        resume = RunFiles(trajectory=checkpoint.with_name(f"{name}.traj"), checkpoint=checkpoint)
    run = stability.dynamics(
        read_relaxed(work, start),
        work.calculator(),
        StabilityParameters.model_validate(work.request.parameters),
        name,
        workdir=work.workdir,
        monitor=work.monitor,
        resume=resume,
    )
    write_relaxed(work, run.atoms, f"{name}.traj")
    return Sampled(series=vars(run.series), metrics=run.metrics)
