"""Questions before something is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList


class Sure(ModalScreen[bool]):
    """A question that `y` answers with yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "yes"),
        Binding("n,escape,q", "dismiss(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            yield Label("y: yes    n: no", classes="hint")


class ChooseModel(ModalScreen[tuple[str, int] | None]):
    """A model and a GPU: arrows choose, Enter takes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "other_gpu(-1)", "GPU before"),
        Binding("right", "other_gpu(1)", "next GPU"),
        Binding("escape,q", "dismiss(None)", "no"),
    ]

    def __init__(self, action: str, models: Mapping[int, Sequence[str]], gpu_id: int) -> None:
        """`models`: what may be chosen on each GPU."""
        super().__init__()
        self._action = action
        self._models = models
        self._gpus = sorted(models)
        self._gpu_id = gpu_id

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(id="title", markup=False)
            yield OptionList()
            yield Label("↑↓: model   ←→: GPU   Enter: take it   Esc: leave", classes="hint")

    def on_mount(self) -> None:
        self._show()
        self.query_one(OptionList).focus()

    def _show(self) -> None:
        self.query_one("#title", Label).update(f"{self._action} a model: GPU {self._gpu_id}")
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(self._models[self._gpu_id])
        options.highlighted = 0 if self._models[self._gpu_id] else None

    def action_other_gpu(self, step: int) -> None:
        place = (self._gpus.index(self._gpu_id) + step) % len(self._gpus)
        self._gpu_id = self._gpus[place]
        self._show()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss((self._models[self._gpu_id][event.option_index], self._gpu_id))
