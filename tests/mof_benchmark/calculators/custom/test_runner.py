"""A whole validation in its own process; and that nothing it leaves is trusted."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms

from mof_benchmark.calculators.custom import runner
from mof_benchmark.calculators.custom.confinement import Limits
from mof_benchmark.calculators.custom.settings import card_of
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.schemas.custom_model import CustomModelCard, ValidationReport
from tests.mof_benchmark.calculators.conftest import SMALL_ORB

from .hostile import UNSAFE, Calls, good, saved

ORB = {"architecture": "orb-v3-conservative-inf-omat", "sizes": SMALL_ORB}


def upload_of(folder: Path, content: bytes | Path, framework: Any, config: dict[str, Any]) -> runner.Upload:
    home = folder / "models" / "model_x"
    home.mkdir(parents=True)
    path = home / "upload.pt"
    if isinstance(content, Path):
        shutil.copy(content, path)
    else:
        path.write_bytes(content)
    return runner.Upload(name="mine", path=path, framework=framework, with_d3=True, config=config)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def validated(root: Path, orb_file: Path) -> tuple[ValidationReport, CustomModelCard | None]:
    return runner.validate(upload_of(root, orb_file, "orb", ORB), storage_root=root)


def test_a_good_model_passes_each_check_with_its_figure(
    validated: tuple[ValidationReport, CustomModelCard | None],
) -> None:
    report, _ = validated
    assert report.error is None
    assert report.passed, [check for check in report.checks if not check.passed]
    by_name = {check.name: check for check in report.checks}
    assert {
        "evaluates",
        "leaves_the_structure_alone",
        "precision",
        "forces_match_energy",
        "stress_matches_energy",
        "translation_invariance",
        "rotation_invariance",
        "supercell_extensivity",
        "repeatability",
        "speed",
    } == by_name.keys()
    forces = by_name["forces_match_energy"]
    assert forces.value is not None
    assert forces.limit is not None
    assert forces.value < forces.limit
    assert (report.peak_memory_MB or 0) > 100
    assert report.confinement["no_new_privileges"] == "yes"
    assert "Zn" in report.elements


def test_what_is_kept_is_loaded_like_any_model(
    validated: tuple[ValidationReport, CustomModelCard | None], root: Path, magnesia: Atoms
) -> None:
    _, stored = validated
    assert stored is not None
    kept = load_card(card_of("mine", True, stored, root), models_dir=root / "elsewhere")
    assert kept.checkpoint_sha256 == stored.sha256
    calculator = kept.make_calculator()
    calculator.calculate(magnesia)
    assert calculator.results["forces"].shape == (2, 3)
    assert sorted(path.name for path in (root / "models" / "model_x").iterdir()) == sorted(
        ["upload.pt", Path(stored.weights).name]
    )


@pytest.mark.parametrize("name", ["os.system", "a zip bomb"])
def test_a_hostile_file_is_rejected_and_runs_nothing(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "was-here"
    upload = upload_of(tmp_path, UNSAFE[name](marker), "sevennet", {})
    report, stored = runner.validate(upload, storage_root=tmp_path)
    assert stored is None
    assert report.error is not None
    assert report.error.code == 40009
    assert not marker.exists()
    assert [path.name for path in upload.path.parent.iterdir()] == ["upload.pt"]


def test_a_validation_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    upload = upload_of(tmp_path, good(), "orb", ORB)
    report, stored = runner.validate(upload, storage_root=tmp_path, rules=runner.Rules(wall_seconds=0.1))
    assert (stored, report.passed) == (None, False)
    assert report.error is not None
    assert report.error.code == 50002


def test_a_validation_nobody_wants_any_more_is_killed(tmp_path: Path) -> None:
    upload = upload_of(tmp_path, good(), "orb", ORB)
    report, _ = runner.validate(upload, storage_root=tmp_path, wanted=lambda: False)
    assert report.error is not None
    assert report.error.code == 50005


def test_a_model_beyond_the_limits_is_rejected(tmp_path: Path) -> None:
    upload = upload_of(tmp_path, good(), "orb", ORB)
    rules = runner.Rules(limits=Limits(cpu_seconds=1))
    report, stored = runner.validate(upload, storage_root=tmp_path, rules=rules)
    assert (stored, report.passed) == (None, False)
    assert report.error is not None
    assert "limit" in report.error.detail


@pytest.fixture
def taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[runner.Upload, Path]:
    """An upload whose validating process does what the files `report` and `weights` beside it say."""
    program = tmp_path / "taken_over.py"
    program.write_text(
        "import json, pathlib, shutil, sys\n"
        "folder = pathlib.Path(json.loads(pathlib.Path(sys.argv[1]).read_text())['folder'])\n"
        "here = pathlib.Path(__file__).parent\n"
        "for name, target in (('report', 'report.json'), ('weights', 'weights.pt')):\n"
        "    if (here / name).is_symlink(): (folder / target).symlink_to((here / name).readlink())\n"
        "    elif (here / name).exists(): shutil.copy(here / name, folder / target)\n"
    )
    launcher = tmp_path / "python"
    # It is called as `python -P -m MODULE ORDER`.
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$4"\n')
    launcher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(launcher))
    return upload_of(tmp_path, good(), "orb", ORB), tmp_path


def test_weights_that_ask_for_more_are_refused_though_the_report_is_fine(
    taken_over: tuple[runner.Upload, Path],
) -> None:
    upload, folder = taken_over
    marker = folder / "was-here"
    (folder / "report").write_text(json.dumps({"passed": True, "elements": ["H"]}))
    (folder / "weights").write_bytes(saved({"w": Calls(os.system, f"touch {marker}")}))
    report, stored = runner.validate(upload, storage_root=folder)
    assert stored is None
    assert report.error is not None
    assert report.error.code == 40009
    assert not marker.exists()


def test_a_link_in_the_place_of_the_report_is_not_followed(taken_over: tuple[runner.Upload, Path]) -> None:
    upload, folder = taken_over
    secret = folder / "secret"
    secret.write_text(json.dumps({"passed": True, "elements": ["H"]}))
    (folder / "report").symlink_to(secret)
    report, stored = runner.validate(upload, storage_root=folder)
    assert (stored, report.passed) == (None, False)
