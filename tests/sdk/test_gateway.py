"""The client against a real gateway: submit, follow, fetch, steer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ase.build
import pytest
from mofsim_client import (
    AlertInfo,
    AsyncMOFSimClient,
    InvalidKeyError,
    InvalidParameterError,
    ModelNotFoundError,
    ModelNotValidatedError,
    MOFSimClient,
    NameTakenError,
    NotFinishedError,
    Optimization,
    OptimizationResult,
    SinglePoint,
    SinglePointResult,
    StructureNotFoundError,
    TaskCancelledError,
    TaskInfo,
    TaskNotFoundError,
    TaskStatus,
    UnphysicalError,
    WaitTimeoutError,
    verify_webhook,
)

from tests.mof_benchmark.calculators.custom.hostile import good
from tests.sdk.conftest import Gateway, wait_until
from tests.sdk.execution_by_hand import Hands, optimization, single_point
from tests.sdk.protocol_server import serve

MODEL = "sevennet_prod"
SCHNET = {
    "interface": "schnet",
    "elements": ["H", "O"],
    "cutoff_A": 4.0,
    "n_atom_basis": 8,
    "n_interactions": 1,
    "n_rbf": 6,
}


def test_the_example_of_the_requirements_runs_as_written(
    gateway: Gateway, hands: Hands, tmp_path: Path
) -> None:
    cif = tmp_path / "mof.cif"
    ase.build.bulk("MgO", "rocksalt", a=4.2).write(cif)
    client = MOFSimClient(base_url=gateway.url, api_key=(gateway.home / "admin.key").read_text().strip())
    task = client.submit_optimization(structure=str(cif), model=MODEL, priority="NORMAL")
    hands.start(task.id)
    hands.report(task.id, 1, "first step", "second step")
    hands.complete(task.id, optimization())

    result = task.wait()

    async def or_asynchronously() -> tuple[list[str], OptimizationResult]:
        logs = []
        async for log in task.stream_logs():
            logs.append(log.message)
        return logs, await task.result()

    logs, again = asyncio.run(or_asynchronously())
    assert result.final_energy_eV == -100.5
    assert again == result
    assert logs == ["first step", "second step"]
    client.close()


def test_wait_shows_each_change_and_returns_the_typed_result(client: MOFSimClient, hands: Hands) -> None:
    task = client.submit_single_point("MOF-5", MODEL, compute_stress=False, tags=["first"])
    seen: list[TaskInfo] = []
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(task.wait, 30, seen.append)
        wait_until(lambda: seen)
        hands.start(task.id)
        hands.report(task.id, 3, "three")
        wait_until(lambda: seen[-1].progress)
        hands.complete(task.id, single_point())
        result = waiting.result()
    assert isinstance(result, SinglePointResult)
    assert (result.energy_eV, result.n_atoms, result.task_id) == (-100.5, 10, task.id)
    assert result.metrics.force_evaluations == 3
    assert result.provenance.package_versions == {"sevenn": "0.10.4"}
    assert seen[0].status is TaskStatus.QUEUED
    assert any(info.progress and info.progress.percentage == 30.0 for info in seen)
    assert seen[-1].status is TaskStatus.COMPLETED
    assert client.get_task(task.id).info.to_dict()["parameters"]["compute_stress"] is False


def test_a_wait_that_takes_too_long_leaves_the_task_alone(client: MOFSimClient) -> None:
    task = client.submit_single_point("MOF-5", MODEL)
    with pytest.raises(WaitTimeoutError, match=r"QUEUED after 0\.2 s"):
        task.wait(timeout=0.2)
    with pytest.raises(TimeoutError):
        task.wait(timeout=0)
    assert task.refresh().status is TaskStatus.QUEUED
    with pytest.raises(NotFinishedError):
        client.get_result(task.id)


def test_a_failed_task_raises_the_class_of_its_own_error(client: MOFSimClient, hands: Hands) -> None:
    task = client.submit_optimization("MOF-5", MODEL)
    hands.start(task.id)
    hands.fail(task.id, code=50008, type="UnphysicalError", detail="atoms flew apart", stage="optimize")
    with pytest.raises(UnphysicalError, match="atoms flew apart") as caught:
        task.wait()
    assert caught.value.code == 50008
    with pytest.raises(UnphysicalError, match="stage optimize"):
        client.get_result(task.id)


def test_what_a_failed_task_left_is_listed_and_downloaded(
    gateway: Gateway, client: MOFSimClient, hands: Hands, tmp_path: Path
) -> None:
    task = client.submit_stability("MOF-5", MODEL)
    hands.start(task.id)
    with pytest.raises(NotFinishedError):
        task.files()
    hands.leave(task.id)
    hands.fail(task.id, code=50008, type="UnphysicalError", detail="atoms flew apart", stage="npt")

    files = task.files()
    assert [(file.role, file.path) for file in files] == [
        ("trajectory", "opt/trajectory.extxyz"),
        ("nvt_trajectory", "nvt.traj"),
    ]
    single = client.download_file(files[0].file_id, tmp_path / "single")
    paths = task.download_files(tmp_path / "all")
    assert [path.relative_to(tmp_path / "all").as_posix() for path in paths] == [file.path for file in files]
    assert paths[0].read_bytes() == single.read_bytes()
    assert [path.stat().st_size for path in paths] == [file.size_bytes for file in files]

    async def awaited() -> list[str]:
        async with AsyncMOFSimClient(home=gateway.home) as other:
            return [file.path for file in await (await other.get_task(task.id)).files()]

    assert asyncio.run(awaited()) == [file.path for file in files]


def test_a_cancelled_task_says_so_and_can_be_submitted_again(client: MOFSimClient) -> None:
    task = client.submit_optimization("MOF-5", MODEL, fmax=0.1)
    assert task.cancel().status is TaskStatus.CANCELLED
    with pytest.raises(TaskCancelledError):
        task.wait()
    again = task.retry()
    assert again.id != task.id
    assert again.refresh().to_dict()["parameters"]["fmax"] == 0.1
    assert client.cancel_task(again.id).status is TaskStatus.CANCELLED


def test_the_output_files_come_as_atoms_and_as_files(
    client: MOFSimClient, hands: Hands, tmp_path: Path
) -> None:
    task = client.submit_optimization("MOF-5", MODEL)
    hands.start(task.id)
    hands.complete(task.id, optimization())
    result = task.wait()
    assert result.optimized_atoms().get_chemical_formula() == "MgO"
    assert [len(atoms) for atoms in result.trajectory()] == [2, 2]
    expected = {"result.json", "optimized.cif", "trajectory.extxyz"}
    assert {path.name for path in task.save(tmp_path / "by-task")} == expected
    assert {path.name for path in result.save(tmp_path / "by-result")} == expected
    for path in (tmp_path / "by-task").iterdir():
        assert path.read_bytes() == (tmp_path / "by-result" / path.name).read_bytes()
    stored = OptimizationResult.model_validate_json((tmp_path / "by-task" / "result.json").read_text())
    assert stored.to_dict() == result.to_dict()


def test_atoms_are_uploaded_once_however_often_they_are_used(client: MOFSimClient) -> None:
    atoms = ase.build.bulk("MgO", "rocksalt", a=4.25)
    uploaded = client.upload_structure(atoms)
    assert (uploaded.formula, uploaded.n_atoms) == ("MgO", 2)
    tasks = client.submit_batch([SinglePoint(atoms, MODEL), Optimization(atoms, MODEL, fmax=0.2)])
    assert {task.refresh().structure_id for task in tasks} == {uploaded.file_id}
    assert uploaded.file_id in {structure.file_id for structure in client.list_structures()}
    assert client.get_structure(str(uploaded.file_id)).name == uploaded.name


def test_a_batch_is_followed_to_its_end_in_the_order_of_ending(client: MOFSimClient, hands: Hands) -> None:
    tasks = client.submit_batch([SinglePoint("MOF-5", MODEL, tags=["batch"]) for _ in range(5)])
    assert len({task.info.batch_id for task in tasks}) == 1
    for task in (tasks[3], tasks[1]):
        hands.start(task.id)
        hands.complete(task.id, single_point())
    stream = iter(client.as_completed(tasks, timeout=10))
    assert {next(stream).id, next(stream).id} == {tasks[1].id, tasks[3].id}
    for task in tasks:
        task.refresh()
        if not task.status.ended:
            task.cancel()
    done = []
    outcomes = client.wait_all(tasks, on_progress=lambda at: done.append(at.done), return_errors=True)
    assert [type(outcome) for outcome in outcomes] == [
        TaskCancelledError,
        SinglePointResult,
        TaskCancelledError,
        SinglePointResult,
        TaskCancelledError,
    ]
    assert done == [1, 2, 3, 4, 5]
    with pytest.raises(TaskCancelledError):
        client.wait_all(tasks)


def test_a_batch_with_one_wrong_task_is_refused_as_a_whole(client: MOFSimClient) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        client.submit_batch([SinglePoint("MOF-5", MODEL), Optimization("MOF-5", MODEL, fmax=-1.0)])
    assert [item["index"] for item in caught.value.errors] == [1]


def test_lists_run_over_all_pages(client: MOFSimClient) -> None:
    tag = "pages"
    tasks = client.submit_batch([SinglePoint("MOF-5", MODEL, tags=[tag]) for _ in range(230)])
    listed = [task.id for task in client.list_tasks(tag=tag)]
    assert listed == [task.id for task in reversed(tasks)]
    assert [task.id for task in client.list_tasks(tag=tag, limit=105)] == listed[:105]
    assert list(client.list_tasks(tag=tag, status="FAILED")) == []


def test_a_written_log_is_read_over_all_pages(client: MOFSimClient, hands: Hands) -> None:
    task = client.submit_single_point("MOF-5", MODEL)
    hands.start(task.id)
    lines = [f"line {n}" for n in range(1500)]
    hands.report(task.id, 1, *lines)
    assert [line.message for line in task.logs()] == lines
    assert list(task.logs(level="ERROR")) == []


def test_events_arrive_while_they_happen_and_stop_with_the_task(client: MOFSimClient, hands: Hands) -> None:
    task = client.submit_single_point("MOF-5", MODEL)
    kinds = []
    for event in task.stream_events():
        kinds.append(event.type)
        if event.data.get("status") == "QUEUED":
            hands.start(task.id)
        if event.data.get("status") == "RUNNING":
            hands.report(task.id, 2, "hello")
        if event.type == "log":
            hands.complete(task.id, single_point())
    assert kinds[-1] == "end"
    assert {"status", "progress", "log"} <= set(kinds)


def test_the_same_key_gives_the_same_task(client: MOFSimClient) -> None:
    first, second = (client.submit_single_point("MOF-5", MODEL, idempotency_key="mine") for _ in range(2))
    assert first.id == second.id


def test_an_asynchronous_client_does_the_same(gateway: Gateway, hands: Hands) -> None:
    async def story() -> None:
        async with AsyncMOFSimClient(home=gateway.home) as client:
            task = await client.submit_single_point("MOF-5", MODEL)
            hands.start(task.id)
            hands.report(task.id, 1, "hello")
            hands.complete(task.id, single_point())
            assert (await task).energy_eV == -100.5
            assert (await task.wait(timeout=5)).energy_eV == -100.5
            assert [line.message async for line in task.stream_logs()] == ["hello"]
            others = await client.submit_batch([SinglePoint("MOF-5", MODEL) for _ in range(3)])
            for other in others:
                hands.start(other.id)
                hands.complete(other.id, single_point())
            assert len(await client.wait_all(others)) == 3
            assert [task.id async for task in client.list_tasks(limit=1)] == [others[-1].id]

    asyncio.run(story())


def test_many_tasks_are_awaited_at_once(gateway: Gateway, hands: Hands) -> None:
    async def story() -> list[float]:
        async with AsyncMOFSimClient(home=gateway.home) as client:
            tasks = await asyncio.gather(*(client.submit_single_point("MOF-5", MODEL) for _ in range(10)))
            for task in tasks:
                hands.start(task.id)
                hands.complete(task.id, single_point())
            return [result.energy_eV for result in await asyncio.gather(*tasks)]

    assert asyncio.run(story()) == [-100.5] * 10


def test_models_structures_and_system_are_shown(client: MOFSimClient) -> None:
    models = {model.name: model for model in client.list_models()}
    assert models[MODEL].available is True
    assert client.get_model(MODEL).framework == "sevennet"
    assert "MOF-5" in {structure.name for structure in client.list_builtin_structures()}
    assert client.get_structure("MOF-5").n_atoms == 106
    status = client.get_system_status()
    assert status.health.status in ("ok", "degraded")
    assert status.health["version"] == status.health.version
    assert status.queue.counts["RUNNING"] >= 0


def test_a_model_is_loaded_when_its_host_says_so(client: MOFSimClient, hands: Hands) -> None:
    with ThreadPoolExecutor() as pool:
        hands.sql.slot_report(0)
        loading = pool.submit(client.load_model, MODEL, 0)
        commands = wait_until(lambda: hands.sql.slot_report(0))
        assert commands[0]["action"] == "load"
        hands.sql.call("slot_command_done", commands[0]["command_id"], None)
        assert loading.result().state == "done"


def test_a_model_of_ones_own_is_uploaded_validated_and_deleted(
    client: MOFSimClient, hands: Hands, tmp_path: Path
) -> None:
    file = tmp_path / "mine.pt"
    file.write_bytes(good())
    seen: list[tuple[int, int]] = []
    uploaded = client.upload_model(
        file, "my-schnet", "pytorch", with_d3=False, config=SCHNET, on_progress=lambda *at: seen.append(at)
    )
    assert (uploaded.name, uploaded.status, uploaded.config["interface"]) == (
        "my-schnet",
        "uploaded",
        "schnet",
    )
    assert seen[-1] == (file.stat().st_size, file.stat().st_size)
    with pytest.raises(NameTakenError):
        client.upload_model(file, "my-schnet", "pytorch", config=SCHNET)
    with ThreadPoolExecutor() as pool:
        validating = pool.submit(client.validate_model, uploaded.model_id)
        wait_until(lambda: hands.sql.call("model_validation_take", "tests", 3600.0))
        checks = [{"name": "evaluates", "passed": False, "required": True, "value": 2.0, "limit": 1.0}]
        report = {"passed": False, "checks": checks}
        hands.sql.call("model_validation_done", uploaded.model_id, "tests", report, None)
        rejected = validating.result()
    assert not rejected.validated
    assert [check.name for check in rejected.failed_checks()] == ["evaluates"]
    assert uploaded.model_id in {model.model_id for model in client.list_custom_models()}
    with pytest.raises(ModelNotValidatedError):
        client.submit_single_point("MOF-5", "my-schnet")
    client.delete_model(uploaded.model_id)
    with pytest.raises(ModelNotFoundError):
        client.get_custom_model(uploaded.model_id)


def test_alerts_and_their_rules_are_shown(client: MOFSimClient, hands: Hands) -> None:
    rules = {rule.type: rule for rule in client.list_alert_rules()}
    assert (rules["gpu_memory_low"].side, rules["gpu_memory_low"].threshold) == ("below", 2.0)

    def short_of_memory() -> list[AlertInfo]:
        hands.sql.slot_report(0, memory_free_MB=500)
        return [alert for alert in client.list_active_alerts() if alert.type == "gpu_memory_low"]

    (alert,) = wait_until(short_of_memory)
    hands.sql.slot_report(0)
    assert (alert.subject, alert.level, alert.resolved) == ("GPU 0", "WARNING", False)
    assert alert.alert_id in {one.alert_id for one in client.list_alerts(type="gpu_memory_low")}
    assert list(client.list_alerts(type="gpu_memory_low", level="CRITICAL")) == []


def test_storage_settings_and_the_servers_log_are_shown(client: MOFSimClient) -> None:
    storage = client.get_storage()
    assert 0 < storage.disk_free_bytes < storage.disk_total_bytes
    assert client.get_storage_due().to_clear.count == 0
    assert client.get_config()["gateway"]["host"] == "127.0.0.1"
    line = next(iter(client.stream_system_logs()))
    assert line.message


def test_a_structure_is_previewed_without_being_kept_and_deleted(client: MOFSimClient) -> None:
    atoms = ase.build.bulk("NaCl", "rocksalt", a=5.64)
    assert client.preview_structure(atoms).formula == "ClNa"
    assert "ClNa" not in {structure.formula for structure in client.list_structures()}
    file_id = client.upload_structure(atoms).file_id
    assert file_id is not None
    client.delete_structure(file_id)
    with pytest.raises(StructureNotFoundError):
        client.get_structure(file_id)


def test_a_batch_is_shown_with_its_counts(client: MOFSimClient) -> None:
    tasks = client.submit_batch([SinglePoint("MOF-5", MODEL) for _ in range(2)])
    tasks[0].cancel()
    batch = client.get_batch(str(tasks[0].info.batch_id))
    assert (batch.n_tasks, batch.counts["CANCELLED"], batch.counts["QUEUED"]) == (2, 1, 1)
    assert {task.task_id for task in batch.tasks} == {task.id for task in tasks}


def test_one_bar_shows_how_far_many_tasks_are(
    client: MOFSimClient, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = client.submit_batch([SinglePoint("MOF-5", MODEL) for _ in range(3)])
    for task in tasks:
        task.cancel()
    assert len(client.wait_all(tasks, progress=True, return_errors=True)) == 3
    assert "3/3" in capsys.readouterr().err


def test_a_webhook_of_the_server_is_verified_and_listed(client: MOFSimClient) -> None:
    with serve(lambda exchange: exchange.send(200, {})) as receiver:
        task = client.submit_single_point(
            "MOF-5",
            MODEL,
            notify_url=f"{receiver.url}/hook",
            notify_events=["task.cancelled"],
            notify_secret="secret",
        )
        task.cancel()
        wait_until(lambda: receiver.asked)
        (delivery,) = wait_until(lambda: [one for one in task.webhooks() if one.delivered_at])
    received = receiver.asked[0]
    message = verify_webhook(dict(received.headers), received.body, "secret")
    assert (message["event"], message["task_id"]) == ("task.cancelled", task.id)
    assert (delivery.event, delivery.attempts[0].status_code) == ("task.cancelled", 200)
    assert delivery.delivery_id == received.headers["X-MOFSim-Delivery"]


def test_errors_of_the_server_have_their_classes_and_language(gateway: Gateway, client: MOFSimClient) -> None:
    with pytest.raises(TaskNotFoundError) as caught:
        client.get_task("task_00000000000000000000000000")
    assert caught.value.request_id
    with pytest.raises(InvalidParameterError) as refused:
        client.submit_optimization("MOF-5", MODEL, fmax=-1.0)
    assert refused.value.field == "parameters.fmax"
    with (
        MOFSimClient(gateway.url, "msk_wrong", language="zh") as stranger,
        pytest.raises(InvalidKeyError) as denied,
    ):
        stranger.list_models()
    assert any("\u4e00" <= character <= "\u9fff" for character in denied.value.message)
