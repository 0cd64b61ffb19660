"""Downloads: streamed to disk, continued where they broke, moved into place when whole."""

from __future__ import annotations

from email.message import Message
from pathlib import Path, PurePosixPath

import httpx

from mofsim_client._channels import run
from mofsim_client._effects import NextChunk, Op, Open, Request, Sleep
from mofsim_client._exceptions import ConnectionFailedError
from mofsim_client._protocol import STREAM_SILENCE_SECONDS, backoff, connection_failed, retry_wait, unwrap
from mofsim_client._settings import API_PREFIX, Connection


def download(connection: Connection, file: str, to: Path) -> Op[Path]:
    """Fetch a file by its id or its address (`/api/v1/files/…`).

    Parameters
    ----------
    to
        A folder (it exists, or the name ends in no suffix), where the file keeps the server's name,
        or the path of the file to write.

    Returns
    -------
    The path written.
    """
    path = file.removeprefix(API_PREFIX) if file.startswith("/") else f"/files/{file}"
    request = Request("GET", path, headers={"Accept-Encoding": "identity"})
    target: Path | None = None
    part: Path | None = None
    written, tag = 0, ""
    for attempt in range(connection.max_retries + 1):
        last = attempt == connection.max_retries
        ranged = request
        if written and tag:
            ranged = request.with_header("Range", f"bytes={written}-").with_header("If-Range", tag)
        try:
            response: httpx.Response = yield Open(ranged, STREAM_SILENCE_SECONDS)
            if response.is_error:
                wait = retry_wait(response, attempt)
                if wait is None or last:
                    unwrap(response)
                yield Sleep(wait or 0.0)
                continue
            tag = response.headers.get("ETag", "")
            target = target or _target(to, response)
            part = target.with_name(target.name + ".part")
            written = written if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
            with part.open("ab" if written else "wb") as stream:
                while (chunk := (yield NextChunk())) is not None:
                    stream.write(chunk)
                    written += len(chunk)
        except httpx.TransportError as error:
            if last:
                raise connection_failed(connection, error) from error
            yield Sleep(backoff(attempt))
            continue
        part.replace(target)
        return target
    raise ConnectionFailedError(f"{file} could not be downloaded whole.")


def fetch(connection: Connection, file: str, to: Path) -> Path:
    """`download` that blocks, on a connection of its own: for results of either client."""
    with httpx.Client(**connection.http_arguments()) as http:
        return run(download(connection, file, to), http)


def inside(folder: Path, path: str) -> Path:
    """The place of a file named by the server, never outside `folder`."""
    parts = [part for part in PurePosixPath(path.replace("\\", "/")).parts if part not in ("/", "..")]
    return folder.expanduser().joinpath(*parts)


def _target(to: Path, response: httpx.Response) -> Path:
    to = to.expanduser()
    if to.suffix and not to.is_dir():
        to.parent.mkdir(parents=True, exist_ok=True)
        return to
    to.mkdir(parents=True, exist_ok=True)
    return to / served_name(response)


def served_name(response: httpx.Response) -> str:
    """The file's name as the server gives it, never leading out of a folder."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    name = header.get_filename() or PurePosixPath(response.request.url.path).name
    return Path(name.replace("\\", "/")).name or "file"
