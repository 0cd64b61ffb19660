"""What the Dockerfile puts into an image, read from the file and laid out in a folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "infra" / "docker" / "Dockerfile"
NOT_COPIED = shutil.ignore_patterns("__pycache__")


def stages() -> dict[str, list[str]]:
    """Lines of the Dockerfile by stage."""
    found: dict[str, list[str]] = {}
    for line in DOCKERFILE.read_text().splitlines():
        match = re.fullmatch(r"FROM (\S+) AS (\S+)", line)
        if match:
            found[match[2]] = [line]
        elif found:
            list(found.values())[-1].append(line)
    return found


def copied() -> set[str]:
    """Files and folders of the checkout that the image has."""
    lines = [line.split()[1:-1] for line in stages()["base"] if line.startswith("COPY ")]
    return {name.rstrip("/") for names in lines for name in names}


def lay_out(folder: Path) -> None:
    """Copy them to where a container would have `/opt/mofsim`."""
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=NOT_COPIED)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
