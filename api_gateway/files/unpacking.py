"""Files that lie compressed on the disk, served as if they did not."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from pathlib import Path


def unpacked(root: Path, path: Path, file_id: str) -> Path | None:
    """A plain file with the content of `path`; None when it is neither there nor compressed.

    A copy in `<root>/unpacked` answers requests for parts of it as well; the data care removes it a
    day after its last use.
    """
    if path.is_file():
        return path
    packed = path.with_name(f"{path.name}.gz")
    copy = root / "unpacked" / file_id
    try:
        os.utime(copy)
    except FileNotFoundError:
        if not packed.is_file():
            return None
        copy.parent.mkdir(exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=f".{file_id}.", dir=copy.parent)
        with os.fdopen(descriptor, "wb") as target, gzip.open(packed) as source:
            shutil.copyfileobj(source, target, 1 << 20)
        Path(partial).replace(copy)
    return copy
