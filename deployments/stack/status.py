"""What a person sees of a running stack: parts, GPU slots, addresses."""

from __future__ import annotations

from datetime import timedelta

from mofsim_client import MOFSimClient, MOFSimError
from rich.console import Console
from rich.table import Table

from deployments.stack import supervision
from deployments.stack.lifecycle import Stack
from deployments.stack.parts import all_parts


def print_addresses(console: Console, stack: Stack) -> None:
    settings = stack.settings
    for name, address in (
        ("API", f"{stack.gateway_url}/api/v1"),
        ("API documentation", f"{stack.gateway_url}/docs"),
        ("Prefect UI", settings.prefect.ui_url),
        ("Dask dashboard", f"{settings.dask.dashboard_url}/info/main/workers.html"),
        ("Home", str(settings.home)),
        ("Admin key", str(settings.admin_key_file)),
    ):
        console.print(f"  {name:18} {address}", highlight=False, soft_wrap=True)


def print_parts(console: Console, stack: Stack) -> None:
    addresses = {
        part.name: part.address
        for part in all_parts(stack.settings, with_postgres=True, with_prefect=True, with_dask=True)
    }
    table = Table("part", "state", "process", "up for", "address")
    table.add_row("supervisor", "RUNNING", str(stack.supervisor_pid), "", "")
    for process in supervision.states(stack.settings.home):
        colour = "green" if process.state == "RUNNING" else "red"
        table.add_row(
            process.name,
            f"[{colour}]{process.state}[/]",
            str(process.pid or ""),
            str(timedelta(seconds=round(process.uptime_seconds))) if process.pid else process.last_words,
            addresses.get(process.name, ""),
        )
    console.print(table)


def print_slots(console: Console, stack: Stack) -> None:
    table = Table("GPU", "state", "device", "memory free", "temperature", "warm models", "task")
    try:
        with MOFSimClient(home=stack.settings.home, max_retries=0) as client:
            slots = client.list_gpus()
    except MOFSimError as error:
        console.print(f"The gateway does not tell the GPU slots: {error}")
        return
    for slot in slots:
        memory, temperature = slot.memory_free_MB, slot.temperature_C
        table.add_row(
            str(slot.gpu_id),
            slot.state,
            slot.device or "",
            "" if memory is None else f"{memory:.0f} MB",
            "" if temperature is None else f"{temperature:.0f} °C",
            ", ".join(slot.warm_models),
            slot.current.task_id if slot.current else "",
        )
    console.print(table)
