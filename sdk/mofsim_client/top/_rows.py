"""A table that is shown anew without losing its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.coordinate import Coordinate
from textual.widgets import DataTable


@dataclass(frozen=True)
class Column:
    """A column; `width` 0 takes what the others leave, and `needs` is the table width it appears at."""

    label: str
    width: int
    needs: int = 0


class Rows(DataTable[Text]):
    """Rows with keys: the cursor stays on its key while rows come, go and move."""

    def __init__(self, columns: Sequence[Column], *, id: str) -> None:
        super().__init__(cursor_type="row", cell_padding=0, zebra_stripes=False, id=id)
        self._all_columns = columns
        self._shown: list[tuple[str, list[Text]]] = []
        self._chosen: list[int] = []
        self._widths: dict[int, int] = {}

    @property
    def key(self) -> str | None:
        """The key under the cursor."""
        at = self.cursor_row
        return self._shown[at][0] if 0 <= at < len(self._shown) else None

    def show(self, rows: Sequence[tuple[str, list[Text]]]) -> None:
        """Show these rows, each a key and a cell for every column, also for those that do not fit."""
        before = self.key
        same_keys = [key for key, _ in rows] == [key for key, _ in self._shown]
        self._shown = [*rows]
        if same_keys and self._chosen:
            self._update_cells()
            return
        self.clear()
        self._add_rows()
        keys = [key for key, _ in rows]
        if before in keys:
            self.move_cursor(row=keys.index(before), animate=False)

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        """Choose the columns that fit and give the flexible one the rest."""
        available = self.size.width - 1
        chosen = [index for index, column in enumerate(self._all_columns) if column.needs <= available]
        fixed = sum(self._all_columns[index].width + 1 for index in chosen)
        row = self.cursor_row
        self.clear(columns=True)
        self._chosen = chosen
        for index in chosen:
            column = self._all_columns[index]
            self._widths[index] = column.width or max(6, available - fixed - 1)
            self.add_column(column.label, width=self._widths[index] + 1)
        self._add_rows()
        self.move_cursor(row=row, animate=False)

    def _add_rows(self) -> None:
        if not self._chosen:
            return
        for key, cells in self._shown:
            self.add_row(*(self._fitting(cells, index) for index in self._chosen), key=key)

    def _update_cells(self) -> None:
        for row, (_, cells) in enumerate(self._shown):
            for place, index in enumerate(self._chosen):
                at = Coordinate(row, place)
                cell = self._fitting(cells, index)
                if self.get_cell_at(at) != cell:
                    self.update_cell_at(at, cell)

    def _fitting(self, cells: Sequence[Text], index: int) -> Text:
        """The cell cut to its column, so that a gap stays before the next."""
        cell = cells[index].copy()
        cell.truncate(self._widths[index], overflow="ellipsis")
        return cell
