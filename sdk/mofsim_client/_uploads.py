"""Files on their way to the server: read in pieces as they are sent, told how far they are."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, cast

from mofsim_client._effects import OnUpload, Upload


def opened(upload: Upload) -> IO[bytes]:
    """Open what is to be sent; nothing larger than a piece of it is ever held in memory."""
    content = upload.content
    stream: BinaryIO = content.open("rb") if isinstance(content, Path) else BytesIO(content)
    if upload.on_progress is None:
        return stream
    total = content.stat().st_size if isinstance(content, Path) else len(content)
    return cast(IO[bytes], _Watched(stream, total, upload.on_progress))


class _Watched:
    """A file that tells how much of it was read; httpx reads it piece by piece as it sends."""

    def __init__(self, stream: BinaryIO, total: int, on_progress: OnUpload) -> None:
        self._stream = stream
        self._total = total
        self._on_progress = on_progress

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        if piece:
            self._on_progress(self._stream.tell(), self._total)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
