"""`./mofsim demo`: a real framework through the whole system, as a user's program would do it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import ase.io
import psutil
from mofsim_client import MOFSimClient, TaskInfo, UploadedId
from mofsim_client.results import OptimizationResult
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deployments.stack import lifecycle, ports
from deployments.stack.lifecycle import Stack
from deployments.stack.status import print_addresses
from mof_benchmark.structures import builtin
from mofsim_settings import load_settings

STRUCTURE = "MOF-5"
MODEL = "sevennet_prod"
FMAX_EV_A = 0.0001
"""Ten times stricter than the default, and still well above the noise of single precision."""
LINE_SECONDS = 5.0
"""How often progress is printed where no terminal can redraw a line."""


@dataclass
class Timings:
    """Seconds since the command was typed at which the demo reached its points."""

    started_at: float = field(default_factory=lambda: psutil.Process().create_time())
    points: dict[str, float] = field(default_factory=dict)

    def reached(self, point: str) -> None:
        self.points[point] = time.time() - self.started_at


def run(home: Path, folder: Path, *, keep: bool, console: Console) -> Timings:
    """Start a stack (or use the one that runs), optimize MOF-5, show the result, clean up.

    Parameters
    ----------
    home
        Home of the stack.
    folder
        Where the input and the fetched files go.
    keep
        Leave the stack up.

    Raises
    ------
    deployments.stack.errors.StackError
        When the stack does not start.
    mofsim_client.MOFSimError
        When the task does not complete.
    """
    timings = Timings()
    with running_stack(home, keep=keep, console=console) as stack:
        timings.reached("up")
        result = _optimize(stack, folder, timings, console)
        timings.reached("completed")
        console.print(_result_table(result))
        files = result.save(folder)
        console.print(f"Files in [bold]{folder}[/]: {', '.join(sorted(path.name for path in files))}")
        timings.reached("files fetched")
        console.print(_timings_line(timings, result))
        if keep:
            console.print("The stack stays up (`./mofsim down` stops it). Pages to open:")
            print_addresses(console, stack)
        else:
            console.print(
                "`./mofsim demo --keep` leaves the stack up; open then the API documentation at "
                f"{stack.gateway_url}/docs and the runs in the Prefect UI (see `./mofsim status`)."
            )
    return timings


@contextmanager
def running_stack(home: Path, *, keep: bool, console: Console) -> Iterator[Stack]:
    """The stack of `home`: the one that runs there, or one for the length of the block."""
    running = lifecycle.find(home)
    if running is not None:
        console.print(f"Using the stack that is up in {home}.")
        yield running
        return
    console.print("Starting the stack: PostgreSQL, Prefect, Dask, one GPU host, pool worker, gateway")
    settings = load_settings(home)
    wanted = settings.gateway.port
    try:
        yield lifecycle.up(
            home,
            enough="gateway",  # what is submitted while the others start waits in the queue
            port=wanted if ports.is_free(settings.gateway.host, wanted) else 0,
            on_ready=lambda name: console.print(f"  {name} is ready", highlight=False),
        )
    except BaseException:
        lifecycle.down(home, wait_for_tasks=False)
        raise
    if not keep:
        lifecycle.down(home)
        console.print("Stopped the stack; no process is left.")


def _optimize(stack: Stack, folder: Path, timings: Timings, console: Console) -> OptimizationResult:
    atoms = builtin.build(STRUCTURE)
    folder.mkdir(parents=True, exist_ok=True)
    cif = folder / f"{STRUCTURE}.cif"
    ase.io.write(cif, atoms)
    with MOFSimClient(home=stack.settings.home) as client:
        uploaded = client.upload_structure(cif)
        console.print(f"Uploaded {cif.name}: {uploaded.formula}, {len(atoms)} atoms")
        task = client.submit_optimization(
            model=MODEL, structure=UploadedId(str(uploaded.file_id)), fmax=FMAX_EV_A, tags=["demo"]
        )
        timings.reached("submitted")
        console.print(
            f"Submitted {task.id}: {MODEL} with D3, to fmax {FMAX_EV_A} eV/Å: some fifty steps, "
            "about ten seconds on two idle cores (one to two minutes with the plain, unfused model)."
        )
        with _progress_shown(console) as show:
            return task.wait(on_progress=show)


class _progress_shown:  # noqa: N801 - used as a context manager
    """A bar that redraws itself in a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[values]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._line = self._bar.add_task("QUEUED", total=100.0, values="")
        self._printed_at = 0.0

    def __enter__(self) -> _progress_shown:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def __call__(self, info: TaskInfo) -> None:
        text = _describe(info)
        if self._console.is_terminal:
            percentage = info.progress.percentage if info.progress else None
            self._bar.update(self._line, description=info.status, values=text, completed=percentage or 0.0)
        elif time.monotonic() - self._printed_at >= LINE_SECONDS or info.status.ended:
            self._console.print(f"  {info.status} {text}", highlight=False)
            self._printed_at = time.monotonic()


def _describe(info: TaskInfo) -> str:
    if info.progress is None:
        return ""
    values = info.progress.values or {}
    words = [f"{info.progress.stage} step {info.progress.current_step}"]
    if "fmax_eV_A" in values:
        words.append(f"fmax {values['fmax_eV_A']:.4f} eV/Å")
    if "energy_eV" in values:
        words.append(f"{values['energy_eV']:.4f} eV")
    return "  ".join(words)


def _result_table(result: OptimizationResult) -> Table:
    table = Table(f"{STRUCTURE}, optimized", "", show_edge=False)
    table.add_row("converged", "yes" if result.converged else "no")
    table.add_row("steps", str(result.steps))
    table.add_row("energy", f"{result.initial_energy_eV:.4f} → {result.final_energy_eV:.4f} eV")
    table.add_row("largest force", f"{result.final_fmax:.5f} eV/Å")
    table.add_row(
        "volume",
        f"{result.initial_volume_A3:.2f} → {result.final_volume_A3:.2f} Å³ "
        f"({result.volume_change_percent:+.2f} %)",
    )
    if (cell := result.cell_parameters) is not None:
        table.add_row("cell lengths", f"{cell.a:.4f}, {cell.b:.4f}, {cell.c:.4f} Å")
        table.add_row("cell angles", f"{cell.alpha:.3f}, {cell.beta:.3f}, {cell.gamma:.3f}°")
    table.add_row("RMSD of the atoms", f"{result.rmsd_from_initial:.4f} Å")
    for warning in result.warnings:
        table.add_row("warning", warning)
    return table


def _timings_line(timings: Timings, result: OptimizationResult) -> str:
    reached = ", ".join(f"{point} after {seconds:.1f} s" for point, seconds in timings.points.items())
    return f"Stack {reached}; the task itself took {result.duration_seconds or 0.0:.1f} s."
