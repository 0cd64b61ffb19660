"""Downloads that break on their way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mofsim_client import ConnectionFailedError, MOFSimClient, RemoteFileNotFoundError
from mofsim_client._files import inside

from tests.sdk.protocol_server import Exchange, serve

CONTENT = bytes(range(256)) * 1000


def in_pieces(exchange: Exchange) -> None:
    """Serve ranges of `CONTENT`, never more than 100,000 bytes before the connection breaks."""
    asked = re.fullmatch(r"bytes=(\d+)-", exchange.headers.get("Range", ""))
    start = int(asked[1]) if asked else 0
    exchange.head(
        206 if asked else 200,
        **{
            "Content-Length": str(len(CONTENT) - start),
            "ETag": '"one"',
            "Content-Disposition": 'attachment; filename="../optimized.cif"',
        },
    )
    exchange.write(CONTENT[start : start + 100_000])
    if len(CONTENT) - start > 100_000:
        exchange.drop()


def test_a_broken_download_continues_where_it_stopped(tmp_path: Path) -> None:
    with serve(in_pieces) as server, MOFSimClient(server.url, "key") as client:
        path = client.download_file("file_1", tmp_path)
    assert path.read_bytes() == CONTENT
    ranges = [exchange.headers.get("Range") for exchange in server.asked]
    assert ranges == [None, "bytes=100000-", "bytes=200000-"]


def test_the_servers_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    with serve(in_pieces) as server, MOFSimClient(server.url, "key") as client:
        path = client.download_file("/api/v1/files/file_1", tmp_path / "out")
    assert path == tmp_path / "out" / "optimized.cif"
    assert server.asked[0].path == "/files/file_1"


@pytest.mark.parametrize("path", ["../../x.traj", "/x.traj", "..\\x.traj"])
def test_a_path_of_the_server_cannot_lead_out_of_the_folder(tmp_path: Path, path: str) -> None:
    assert inside(tmp_path, path) == tmp_path / "x.traj"
    assert inside(tmp_path, "opt/x.traj") == tmp_path / "opt" / "x.traj"


def test_a_download_that_never_finishes_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    with (
        serve(in_pieces) as server,
        MOFSimClient(server.url, "key", max_retries=1) as client,
        pytest.raises(ConnectionFailedError),
    ):
        client.download_file("file_1", tmp_path / "whole.cif")
    assert not (tmp_path / "whole.cif").exists()


def test_a_missing_file_is_the_servers_error(tmp_path: Path) -> None:
    with (
        serve(lambda exchange: exchange.refuse(404, 30004)) as server,
        MOFSimClient(server.url, "key") as client,
        pytest.raises(RemoteFileNotFoundError),
    ):
        client.download_file("file_1", tmp_path)
    assert list(tmp_path.iterdir()) == []
