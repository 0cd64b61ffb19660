"""Every decision of the placement, checked against a simple model of what it may do."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_gateway.scheduling.placement import Decision, Occupant, QueuedTask, Rules, Slot, fits, place

MODELS = ("mace", "orb", "sevennet")


def task(place: int, priority: int = 2, model: str = "mace", memory_MB: float | None = None) -> QueuedTask:
    return QueuedTask(
        task_id=f"task_{place}", attempt=1, priority=priority, place=place, model=model, memory_MB=memory_MB
    )


def slot(gpu_id: int, **changes: object) -> Slot:
    return replace(Slot(gpu_id=gpu_id, alive=True), **changes)  # type: ignore[arg-type]


ENDING = Occupant(running=True, remaining_seconds=1.0)
LONG = Occupant(running=True, remaining_seconds=1000.0)
RULES = Rules(slots=4, spare_gpu=None, bind_ahead_below_seconds=5.0)


def gpus(decisions: list[Decision]) -> dict[str, int]:
    return {decision.task.task_id: decision.gpu_id for decision in decisions}


occupants = st.builds(
    Occupant, running=st.booleans(), remaining_seconds=st.sampled_from([None, 0.0, 4.9, 5.1, 100.0])
)
queues = st.lists(
    st.builds(
        QueuedTask,
        task_id=st.just(""),
        attempt=st.just(1),
        priority=st.integers(0, 3),
        place=st.integers(0, 10**6),
        model=st.sampled_from(MODELS),
        memory_MB=st.sampled_from([None, 1000.0, 8000.0, 30000.0]),
    ),
    max_size=12,
    unique_by=lambda one: one.place,
).map(
    lambda tasks: sorted(
        (replace(one, task_id=f"task_{one.place}") for one in tasks),
        key=lambda one: (one.priority, one.place),
    )
)


@st.composite
def slot_sets(draw: st.DrawFn) -> list[Slot]:
    return [
        Slot(
            gpu_id=gpu_id,
            alive=draw(st.integers(0, 9)) > 0,
            memory_free_MB=draw(st.sampled_from([None, 4000.0, 24000.0])),
            temperature_C=draw(st.sampled_from([None, 35.0, 80.0])),
            utilisation_percent=draw(st.sampled_from([None, 0.0, 90.0])),
            warm_models=frozenset(draw(st.sets(st.sampled_from(MODELS), max_size=2))),
            occupants=tuple(draw(st.lists(occupants, max_size=2))),
            idle_seconds=draw(st.floats(0, 100)),
        )
        for gpu_id in range(draw(st.integers(0, 8)))
    ]


def check(queue: list[QueuedTask], slots: list[Slot], rules: Rules, decisions: list[Decision]) -> None:
    """Hold a round of decisions against what the rules allow, stated the other way round."""
    by_id = {one.gpu_id: one for one in slots}
    lost = [g for g in range(rules.slots) if g != rules.spare_gpu and (g not in by_id or not by_id[g].alive)]
    spare_is_open = bool(lost) or rules.spare_gpu is None or rules.slots == 1

    def may_use(one: QueuedTask, where: Slot) -> bool:
        return fits(one, where) and (where.gpu_id != rules.spare_gpu or one.priority == 0 or spare_is_open)

    assert len({d.gpu_id for d in decisions}) == len(decisions), "a slot was given away twice"
    assert len({d.task.task_id for d in decisions}) == len(decisions), "a task was placed twice"
    placed = {d.task.task_id: d for d in decisions}
    left = {one.gpu_id: one for one in slots}
    for one in queue:
        idle = [s for s in left.values() if s.alive and not s.occupants and may_use(one, s)]
        ending = [
            s
            for s in left.values()
            if s.alive
            and len(s.occupants) == 1
            and s.occupants[0].running
            and s.occupants[0].remaining_seconds is not None
            and s.occupants[0].remaining_seconds <= rules.bind_ahead_below_seconds
            and may_use(one, s)
        ]
        decision = placed.get(one.task_id)
        if decision is None:
            assert not idle, f"{idle} stand idle beside {one}"
            assert not ending
            continue
        candidates = idle or ending
        assert decision.ahead == (not idle)
        chosen = left.pop(decision.gpu_id)
        assert chosen in candidates
        if any(one.model in s.warm_models for s in candidates):
            assert one.model in chosen.warm_models, "a warm GPU was passed over"


@given(queues, slot_sets(), st.sampled_from([None, 0, 7]), st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_every_decision_follows_the_rules(
    queue: list[QueuedTask], slots: list[Slot], spare: int | None, configured: int
) -> None:
    rules = Rules(
        slots=configured,
        spare_gpu=spare if spare is not None and spare < configured else None,
        bind_ahead_below_seconds=5.0,
    )
    check(queue, slots, rules, place(queue, slots, rules))


@dataclass
class Simulation:
    """Eight GPUs under random load: arrivals, ends, cancellations and failures, in simulated time."""

    random: random.Random
    rules: Rules = field(default_factory=lambda: Rules(slots=8, spare_gpu=7, bind_ahead_below_seconds=5.0))
    now: float = 0.0
    waiting: list[QueuedTask] = field(default_factory=list)
    holding: dict[int, list[QueuedTask]] = field(default_factory=lambda: {g: [] for g in range(8)})
    ends_at: dict[str, float] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    most_bound: int = 0

    def run(self, arrivals: int) -> None:
        events: list[tuple[float, int, str]] = []
        clock = 0.0
        for number in range(arrivals):
            clock += self.random.expovariate(1.0)
            heapq.heappush(events, (clock, number, "arrival"))
            if self.random.random() < 0.05:
                heapq.heappush(events, (clock + 1, arrivals + number, "failure"))
            if self.random.random() < 0.05:
                heapq.heappush(events, (clock + 1, arrivals + number, "cancellation"))
        while events or self.waiting or any(self.holding.values()):
            ends = [(self.ends_at[held[0].task_id], gpu) for gpu, held in self.holding.items() if held]
            if events and (not ends or events[0][0] <= min(ends)[0]):
                self.now, number, kind = heapq.heappop(events)
                getattr(self, kind)(number)
            elif ends:
                self.now, gpu = min(ends)
                self.ended.append(self.holding[gpu].pop(0).task_id)
                self.begin(gpu)
            else:
                self.dead.clear()
            self.place()

    def arrival(self, number: int) -> None:
        self.queue(task(number, self.random.choice([0, 1, 2, 2, 2, 3]), self.random.choice(MODELS)))

    def failure(self, _: int) -> None:
        """A GPU dies and what it held stands in the queue again where it stood; another comes back."""
        if self.dead and self.random.random() < 0.7:
            self.dead.pop()
        gpu = self.random.randrange(8)
        self.dead.add(gpu)
        lost, self.holding[gpu] = self.holding[gpu], []
        for one in lost:
            self.queue(replace(one, attempt=one.attempt + 1))

    def cancellation(self, _: int) -> None:
        if self.waiting:
            self.ended.append(self.waiting.pop(self.random.randrange(len(self.waiting))).task_id)

    def queue(self, one: QueuedTask) -> None:
        self.waiting.append(one)
        self.waiting.sort(key=lambda each: (each.priority, each.place))

    def begin(self, gpu: int) -> None:
        # The pool's own queues: of what is bound, the most urgent runs next.
        self.holding[gpu].sort(key=lambda each: (each.priority, each.place))
        if self.holding[gpu]:
            self.ends_at[self.holding[gpu][0].task_id] = self.now + self.random.choice([0.3, 3, 15])

    def place(self) -> None:
        slots = [
            Slot(
                gpu_id=gpu,
                alive=gpu not in self.dead,
                occupants=tuple(
                    Occupant(
                        running=number == 0,
                        remaining_seconds=self.ends_at[each.task_id] - self.now if number == 0 else None,
                    )
                    for number, each in enumerate(held)
                ),
            )
            for gpu, held in self.holding.items()
        ]
        decisions = place(self.waiting, slots, self.rules)
        check(self.waiting, slots, self.rules, decisions)
        for decision in decisions:
            self.waiting.remove(decision.task)
            self.holding[decision.gpu_id].append(decision.task)
            if not decision.ahead:
                self.begin(decision.gpu_id)
            self.most_bound = max(self.most_bound, len(self.holding[decision.gpu_id]))


@pytest.mark.parametrize("seed", range(3))
def test_a_long_random_history_breaks_no_rule_and_forgets_no_task(seed: int) -> None:
    simulation = Simulation(random.Random(seed))  # noqa: S311 - no secret
    simulation.run(arrivals=500)
    assert sorted(simulation.ended) == sorted(f"task_{number}" for number in range(500))
    assert simulation.most_bound == 2, "one runs and at most one waits at its door"


def test_the_more_urgent_goes_first_and_then_the_earlier() -> None:
    queue = [task(5, priority=0), task(1), task(2), task(0, priority=3)]
    assert list(gpus(place(queue, [slot(0), slot(1)], RULES))) == ["task_5", "task_1"]


def test_a_warm_gpu_is_preferred_to_a_cooler_and_longer_idle_one() -> None:
    slots = [slot(0, idle_seconds=99.0, temperature_C=30.0), slot(1, warm_models=frozenset({"mace"}))]
    assert gpus(place([task(1)], slots, RULES)) == {"task_1": 1}


def test_a_cold_gpu_is_used_rather_than_waiting_for_a_warm_one() -> None:
    slots = [slot(0), slot(1, warm_models=frozenset({"mace"}), occupants=(LONG,))]
    assert gpus(place([task(1)], slots, RULES)) == {"task_1": 0}


def test_among_equals_the_less_loaded_then_the_cooler_then_the_longer_idle_is_taken() -> None:
    loaded = slot(0, utilisation_percent=80.0, temperature_C=30.0, idle_seconds=100.0)
    hot = slot(1, temperature_C=80.0, idle_seconds=100.0)
    fresh = slot(2, temperature_C=41.0, idle_seconds=1.0)
    rested = slot(3, temperature_C=49.0, idle_seconds=100.0)
    slots = [loaded, hot, fresh, rested]
    order = gpus(place([task(n) for n in range(4)], slots, RULES))
    assert list(order.values()) == [3, 2, 1, 0]


def test_a_task_too_big_for_the_free_gpus_lets_the_next_one_by() -> None:
    slots = [slot(0, memory_free_MB=8000.0), slot(1, memory_free_MB=24000.0, occupants=(LONG,))]
    queue = [task(1, memory_MB=20000.0), task(2, memory_MB=4000.0)]
    assert gpus(place(queue, slots, RULES)) == {"task_2": 0}


def test_memory_that_the_host_can_give_back_counts_as_free() -> None:
    held = slot(0, memory_free_MB=8000.0, memory_reclaimable_MB=13000.0)
    assert gpus(place([task(1, memory_MB=20000.0)], [held], RULES)) == {"task_1": 0}
    assert gpus(place([task(1, memory_MB=21000.0)], [held], RULES)) == {}


def test_a_task_that_ran_out_of_memory_waits_for_one_of_the_largest_gpus_and_takes_it_whole() -> None:
    unlucky = replace(task(1, memory_MB=99_000.0), whole_gpu=True)
    small = slot(0, memory_total_MB=24_000.0, memory_free_MB=24_000.0)
    large = slot(1, memory_total_MB=80_000.0, memory_free_MB=10_000.0)
    assert gpus(place([unlucky], [small, large], RULES)) == {"task_1": 1}
    assert gpus(place([unlucky], [small, replace(large, occupants=(ENDING,))], RULES)) == {}
    assert gpus(place([unlucky], [small, replace(large, alive=False)], RULES)) == {"task_1": 0}


def test_the_spare_takes_critical_tasks_only_while_every_other_gpu_lives() -> None:
    rules = replace(RULES, slots=2, spare_gpu=1)
    busy = slot(0, occupants=(LONG,))
    assert gpus(place([task(1), task(2, priority=3)], [busy, slot(1)], rules)) == {}
    assert gpus(place([task(3, priority=0)], [busy, slot(1)], rules)) == {"task_3": 1}
    assert gpus(place([task(1)], [replace(busy, alive=False), slot(1)], rules)) == {"task_1": 1}
    assert gpus(place([task(1)], [slot(1)], rules)) == {"task_1": 1}, "GPU 0 never reported"


def test_a_critical_task_leaves_the_spare_alone_when_another_gpu_is_as_good() -> None:
    rules = replace(RULES, slots=2, spare_gpu=0)
    assert gpus(place([task(1, priority=0)], [slot(0, idle_seconds=99.0), slot(1)], rules)) == {"task_1": 1}


def test_one_task_waits_at_the_door_of_a_run_that_ends_soon_and_no_second_one() -> None:
    (decision,) = place([task(1), task(2)], [slot(0, occupants=(ENDING,))], RULES)
    assert decision.ahead
    assert place([task(2)], [slot(0, occupants=(ENDING, Occupant(running=False)))], RULES) == []


@pytest.mark.parametrize(
    "occupant",
    [LONG, Occupant(running=True, remaining_seconds=None), Occupant(running=False, remaining_seconds=1.0)],
)
def test_nothing_is_bound_ahead_when_the_end_is_far_or_unknown(occupant: Occupant) -> None:
    assert place([task(1)], [slot(0, occupants=(occupant,))], RULES) == []


def test_the_reasons_say_who_else_was_there() -> None:
    slots = [
        slot(0),
        slot(1, occupants=(LONG,)),
        slot(2, alive=False),
        slot(3, memory_free_MB=1.0),
        slot(4, warm_models=frozenset({"mace"})),
    ]
    first, second = place([task(1, memory_MB=100.0), task(2)], slots, replace(RULES, slots=5))
    assert first.gpu_id == 4
    assert first.reasons["model_warm"] is True
    assert first.reasons["candidates"] == [0, 4]
    assert first.reasons["passed_over"] == {
        "busy": [1],
        "not alive": [2],
        "too little memory": [3],
    }
    assert second.reasons["passed_over"] == {"busy": [1, 4], "not alive": [2]}
