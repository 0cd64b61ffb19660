"""Calls about structures and files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mofsim_client._base import ClientBase
from mofsim_client._effects import Flow, OnUpload, Op, Upload
from mofsim_client._exceptions import MOFSimError, StructureError
from mofsim_client._files import download
from mofsim_client._inventory import StructureInfo
from mofsim_client._methods import call, stream
from mofsim_client._protocol import parse
from mofsim_client._structures import BuiltinName, StructureLike, UploadedId, resolve_structure


class StructureCalls(ClientBase):
    """Uploading, listing and downloading."""

    @call
    def upload_structure(
        self,
        structure: StructureLike,
        name: str | None = None,
        *,
        on_progress: OnUpload | None = None,
    ) -> Op[StructureInfo]:
        """Upload a structure; the same content again gets the same id (and keeps its first name).

        Parameters
        ----------
        structure
            A path, an ASE `Atoms` or a pymatgen `Structure`.
        name
            Name for people; the file's own if unset.
        on_progress
            Called with the bytes sent so far and their total.
        """
        upload = replace(_to_send(structure), on_progress=on_progress)
        return (yield from self._upload_operation(upload, name))

    @call
    def preview_structure(self, structure: StructureLike) -> Op[StructureInfo]:
        """What the server would read from a structure; it keeps nothing of it."""
        data = yield from self._ask("POST", "/structures/preview", upload=_to_send(structure))
        return parse(StructureInfo, data)

    @call
    def delete_structure(self, file_id: str) -> Op[None]:
        """Delete an uploaded structure that no unfinished task needs (scope `admin`)."""
        yield from self._ask("DELETE", f"/structures/{file_id}")

    @call
    def get_structure(self, structure: str | UploadedId | BuiltinName) -> Op[StructureInfo]:
        """What the server knows about an upload (`struct_…`) or a built-in (its name)."""
        named = resolve_structure(structure)
        if isinstance(named, UploadedId):
            return parse(StructureInfo, (yield from self._ask("GET", f"/structures/{named.file_id}")))
        builtins = yield from self._whole("/structures/builtin", StructureInfo)
        for builtin in builtins:
            if isinstance(named, BuiltinName) and builtin.name == named.name:
                return builtin
        names = ", ".join(builtin.name for builtin in builtins)
        raise StructureError(f"The server has no built-in {structure!r}; it has {names}.")

    @stream
    def list_structures(self) -> Flow[StructureInfo]:
        """Iterate over the uploaded structures, newest first."""
        return self._pages("/structures", StructureInfo)

    @call
    def list_builtin_structures(self) -> Op[list[StructureInfo]]:
        """The structures that come with the server."""
        return (yield from self._whole("/structures/builtin", StructureInfo))

    @call
    def download_file(self, file: str, to: str | Path = ".") -> Op[Path]:
        """Download a file by its id or address; a broken download continues where it stopped.

        Parameters
        ----------
        to
            A folder, where the file keeps the server's name, or the path of the file to write.
        """
        return (yield from download(self.connection, file, Path(to)))


def _to_send(structure: StructureLike) -> Upload:
    upload = resolve_structure(structure)
    if not isinstance(upload, Upload):
        raise MOFSimError(f"{structure!r} is on the server already.")
    return upload
