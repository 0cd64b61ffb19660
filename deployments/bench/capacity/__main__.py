"""What a task of each type leaves, and what 100 a day come to: `./mofsim bench capacity`.

On a stack of its own, every type of task runs on a small and a larger structure, as the published protocol
has it but for the length of the dynamics, which is run at two lengths. Measured are rows and bytes in both
databases, files by role (trajectories also as compressed after 30 days), log lines; and what the stack
writes while it has nothing to do. From that follows what a disk must hold, for a mix, a number of tasks a
day and a size of structures that options set. `--measured` does the arithmetic alone, from an earlier file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mofsim_client import MOFSimClient
from rich.console import Console

from deployments.bench._roads import DATA, WIDTH, structure
from deployments.bench.capacity import work
from deployments.bench.capacity.arithmetic import (
    FULL_STEPS,
    PAGE_FILL,
    Footprint,
    Plan,
    Retention,
    at_size,
    of_full_length,
    stored,
)
from deployments.bench.capacity.footprint import Usage
from deployments.bench.capacity.ledger import Ledger
from deployments.bench.capacity.reports import calls_a_second, ms_a_call, prefects_ms_a_call
from deployments.bench.capacity.tables import DAYS, MB, table_of_disk, table_of_items, table_of_tasks
from deployments.hosts.control import REPORT_SECONDS
from deployments.maintenance.data_care import care
from deployments.stack import lifecycle
from mofsim_settings import Settings

STRUCTURES = ("MgMOF74" if DATA.is_dir() else "Mg-MOF-74", "MOF-5")
"""With pores, which an insertion needs; as a file where there is one, and a built-in."""
TASK_SECONDS = 3600.0


def measure(home: Path, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run everything on a stack in `home`, and look what it left."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "mofsim.toml").write_text('[gateway]\nwebhook_allowed_hosts = ["127.0.0.1"]\n')
    stack = lifecycle.up(home, port=0, slots=2)
    ledger = Ledger(stack.settings)
    try:
        ledger.wait_until_settled()
        started = ledger.written()
        time.sleep(options.idle_seconds)
        idle = _difference(started, ledger.written())
        questions = prefects_ms_a_call(stack.settings)
        with work.webhook_receiver() as address:
            done = _run(home, options, address, console)
            ledger.wait_until_settled()
        ended = ledger.written()
        footprints = _footprints(ledger, stack.settings, done)
    finally:
        ledger.close()
        lifecycle.down(home, wait_for_tasks=False)
    return {
        "reports": {
            "calls a second and GPU": calls_a_second(
                stack.settings.scheduling.heartbeat_seconds, REPORT_SECONDS
            ),
            "costs": ms_a_call(home),
        },
        "questions of a pool to Prefect": questions,
        "idle": {"seconds": options.idle_seconds, "written": _as_json(idle)},
        "all tasks": {"number": len(done), "written": _as_json(_difference(started, ended))},
        "tasks": [{**asdict(one), "items": _as_json(one.items)} for one in footprints],
    }


def _run(
    home: Path, options: argparse.Namespace, notify_url: str, console: Console
) -> list[tuple[str, work.Measured]]:
    """Compute all tasks; their ids."""
    with MOFSimClient(home=home) as client:
        wanted = [
            measured
            for name in options.structure or STRUCTURES
            for measured in work.tasks(name, structure(name), tuple(options.md_steps), notify_url)
        ]
        handles = client.submit_batch([measured.submission for measured in wanted])
        for handle, measured in zip(handles, wanted, strict=True):
            handle.wait(timeout=TASK_SECONDS)
            steps = f", {measured.md_steps} steps" if measured.md_steps else ""
            console.print(f"{measured.submission.task_type}{steps}, {measured.structure}: done")
        return [(handle.id, measured) for handle, measured in zip(handles, wanted, strict=True)]


def _footprints(
    ledger: Ledger, settings: Settings, done: Sequence[tuple[str, work.Measured]]
) -> list[Footprint]:
    index_bytes = ledger.index_bytes()
    items = {task_id: ledger.of_task(task_id, index_bytes) for task_id, _ in done}
    for task_id, _ in done:
        items[task_id] |= {f"trajectory/{role}": u for role, u in ledger.trajectories(task_id).items()}
    # Every trajectory is old enough today: what is measured is what the chore makes of it.
    care(
        settings.model_copy(
            update={"storage": settings.storage.model_copy(update={"compress_after_days": 0})}
        )
    )
    for task_id, _ in done:
        packed = ledger.trajectories(task_id)
        items[task_id] |= {f"packed trajectory/{role}": u for role, u in packed.items()}
    return [
        Footprint(one.submission.task_type, one.structure, one.atoms, one.md_steps, items[task_id])
        for task_id, one in done
    ]


def _difference(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, Usage]:
    return {
        name: Usage(usage.number - before[name].number, usage.bytes - before[name].bytes)
        for name, usage in after.items()
    }


def _as_json(items: Mapping[str, Usage]) -> dict[str, Any]:
    return {name: {"number": usage.number, "bytes": round(usage.bytes)} for name, usage in items.items()}


def _write(document: Mapping[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2) + "\n")


def footprints_of(document: Mapping[str, Any]) -> list[Footprint]:
    """Footprints as `measure` wrote them."""
    return [
        Footprint(**{**task, "items": {name: Usage(**usage) for name, usage in task["items"].items()}})
        for task in document["tasks"]
    ]


def shares(text: str) -> dict[str, float]:
    """`stability=25,optimization=75` as a mapping."""
    known = Plan().mix
    mix = {name: float(share) for name, _, share in (part.partition("=") for part in text.split(","))}
    if unknown := set(mix) - set(known):
        raise argparse.ArgumentTypeError(f"no task type: {', '.join(unknown)}; there are {', '.join(known)}")
    if not sum(mix.values()) > 0:
        raise argparse.ArgumentTypeError("shares must add up to more than zero")
    return mix


def main() -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench capacity", description=__doc__)
    parser.add_argument("--structure", action="append", help="to measure; two of different size by default")
    parser.add_argument("--md-steps", type=int, nargs=2, default=work.MD_STEPS, help="lengths to measure")
    parser.add_argument("--idle-seconds", type=float, default=120.0, help="how long to watch an idle stack")
    parser.add_argument("--tasks-a-day", type=float, default=Plan().tasks_a_day)
    parser.add_argument("--atoms", type=int, default=Plan().atoms, help="of the structures to come")
    parser.add_argument("--mix", type=shares, default=Plan().mix, help="as stability=25,optimization=75")
    parser.add_argument("--measured", type=Path, help="a JSON file of an earlier run: arithmetic alone")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/capacity.json"))
    options = parser.parse_args()
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    if options.measured:
        document = json.loads(options.measured.read_text())
    else:
        home = Path(tempfile.mkdtemp(prefix="mofsim-bench-"))
        try:
            document = measure(home, options, console)
            _write(document, options.json)
        finally:
            shutil.rmtree(home, ignore_errors=True)
    plan = Plan(options.tasks_a_day, options.atoms, options.mix)
    _write(document | {"plan": work_out(document, plan, console)}, options.json)
    console.print(f"Written to {options.json}.")


def work_out(document: Mapping[str, Any], plan: Plan, console: Console) -> dict[str, Any]:
    """Print what was measured and what a plan comes to; answers the latter."""
    settings = Settings()
    keep = Retention(
        results=settings.storage.keep_results_days,
        raw_trajectories=settings.storage.compress_after_days,
        prefect_runs=settings.prefect.keep_runs_days,
    )
    measured = footprints_of(document)
    whole = of_full_length(measured)
    at_plan = [
        Footprint(
            kind,
            "extrapolated",
            plan.atoms,
            0,
            at_size([w for w in whole if w.task_type == kind], plan.atoms),
        )
        for kind in sorted({w.task_type for w in whole})
    ]
    console.print(table_of_tasks("What a task leaves, measured", measured))
    console.print(table_of_items(measured))
    console.print(
        table_of_tasks(f"To {FULL_STEPS['npt']:,} NPT steps and {plan.atoms} atoms, extrapolated", at_plan)
    )
    console.print(table_of_disk(whole, plan, keep))
    console.print(f"Databases with pages filled to {PAGE_FILL:.0%}; every task with a structure of its own.")
    _print_costs(document, console)
    return {
        **asdict(plan),
        "retention_days": asdict(keep),
        "page_fill": PAGE_FILL,
        "extrapolated_bytes_a_task": {one.task_type: _as_json(one.items) for one in at_plan},
        "extrapolated_bytes": {days: stored(whole, plan, keep, days) for days in DAYS},
    }


def _print_costs(document: Mapping[str, Any], console: Console) -> None:
    """What an idle stack writes, and what a GPU costs the servers."""
    idle = document["idle"]
    a_day = {n: u["bytes"] * 86_400 / idle["seconds"] / MB for n, u in idle["written"].items()}
    told = ", ".join(f"{name} {size:.2f}" for name, size in a_day.items())
    console.print(f"An idle stack writes, MB a day (over {idle['seconds']:g} s): {told}")
    for name, cost in document["reports"]["costs"].items():
        often = document["reports"]["calls a second and GPU"][name]
        console.print(
            f"{name}: {often:g} a second and busy GPU, {cost['cpu_ms']:.3f} ms of PostgreSQL's processor "
            f"time, {cost['wall_ms']:.3f} ms from call to answer"
        )
    for name, cost in document["questions of a pool to Prefect"].items():
        console.print(
            f"Prefect, {name}: {cost['cpu_ms']:.1f} ms of its server's processor time, "
            f"{cost['wall_ms']:.1f} ms from call to answer"
        )


if __name__ == "__main__":
    main()
