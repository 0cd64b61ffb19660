"""How long a placement takes with a long queue: the gateway's placer over a real PostgreSQL."""

from __future__ import annotations

import json
import statistics

from deployments.bench.queue.figures import Figure, percentile
from deployments.bench.queue.parts import gateway_program, servers
from deployments.bench.queue.slots import slot_document
from tasks.database import ReportDatabase

LIMIT_MS = 20.0


def measure(*, queued: int, finished: int, slots: int, rounds: int) -> list[Figure]:
    """Time rounds with one slot free, and rounds with all of them free."""
    with servers(slots, with_prefect=False) as settings:
        hosts = ReportDatabase(settings.database.url.get_secret_value())
        for gpu_id in range(slots):
            hosts.slot_report(gpu_id, "bench", slot_document())
        hosts.close()
        counts = {"queued": queued, "finished": finished, "rounds": rounds}
        words = [word for name, count in counts.items() for word in (f"--{name}", str(count))]
        measured = json.loads(gateway_program(settings, "decision", *words))
    note = (
        f"{queued} queued, {finished} finished tasks, {slots} slots; real placer and database; a round is "
        "picture, decision and commit, without Prefect"
    )
    return [
        *_figures("one slot free", measured["one_free"], note),
        *_figures(f"all {slots} slots free", measured["all_free"], note),
    ]


def _figures(when: str, rounds: list[dict[str, float]], note: str) -> list[Figure]:
    whole = [1000 * one["seconds"] for one in rounds]
    each = [1000 * one["seconds"] / one["decisions"] for one in rounds]
    processor = [1000 * one["processor_seconds"] / one["decisions"] for one in rounds]
    return [
        Figure(
            f"a placement decision, {when}, median",
            statistics.median(each),
            "ms",
            at_most=LIMIT_MS,
            note=note,
        ),
        Figure(f"… 99th percentile, {when}", percentile(each, 0.99), "ms", note=note),
        Figure(f"… its processor time, {when}, median", statistics.median(processor), "ms", note=note),
        Figure(f"a round of placement, {when}, median", statistics.median(whole), "ms", note=note),
        Figure(f"… 99th percentile of a round, {when}", percentile(whole, 0.99), "ms", note=note),
    ]
