"""What every group of calls stands on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from mofsim_client import _settings
from mofsim_client._display import Listing
from mofsim_client._effects import Flow, Item, Op, Request, Upload
from mofsim_client._inventory import StructureInfo
from mofsim_client._protocol import ask, items_of, parse

T = TypeVar("T", bound=BaseModel)


class ClientBase:
    """`connection` says where the server is."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        home: str | Path | None = None,
        language: str = "en",
        timeout_seconds: float = 30.0,
        max_retries: int = 4,
    ) -> None:
        self.connection = _settings.discover(
            base_url,
            api_key,
            home,
            language=language,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.connection.base_url}>"

    def _ask(self, method: str, path: str, **more: Any) -> Op[Any]:
        return ask(self.connection, Request(method, path, **more))

    def _upload_operation(self, upload: Upload, name: str | None) -> Op[StructureInfo]:
        form = {"name": name} if name else {}
        return parse(StructureInfo, (yield from self._ask("POST", "/structures", upload=upload, form=form)))

    def _whole(self, path: str, kind: type[T]) -> Op[Listing[T]]:
        """All rows of a list that is never long, whatever its pages."""
        rows: Listing[T] = Listing()
        page, pages = 1, 1
        while page <= pages:
            found, pages = yield from self._page(path, kind, page)
            rows.extend(found)
            page += 1
        return rows

    def _pages(self, path: str, kind: type[Any], wanted: Mapping[str, str] | None = None) -> Flow[Any]:
        page, pages = 1, 1
        while page <= pages:
            found, pages = yield from self._page(path, kind, page, wanted)
            for row in found:
                yield Item(row)
            page += 1

    def _page(
        self, path: str, kind: type[T], page: int, wanted: Mapping[str, str] | None = None
    ) -> Op[tuple[list[T], int]]:
        """A page's rows and the number of pages."""
        data = yield from self._ask("GET", path, query={**(wanted or {}), "page": page, "page_size": 100})
        return [parse(kind, item) for item in items_of(data)], data["pagination"]["total_pages"]
