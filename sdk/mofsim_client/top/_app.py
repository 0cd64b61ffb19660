"""The screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Input, RichLog, Static

from mofsim_client import AsyncMOFSimClient, Event, LogLine, MOFSimError, TaskInfo, TaskStatus
from mofsim_client.top import _words as words
from mofsim_client.top._dialogs import ChooseModel, Sure
from mofsim_client.top._picture import Picture, look
from mofsim_client.top._rows import Column, Rows

EVERY_SECONDS = 2.0
LOG_LINES = 2000
GPU_COLUMNS = (
    Column("GPU", 3),
    Column("State", 9),
    Column("Memory", 17),
    Column("Temp", 5),
    Column("Util", 4),
    Column("Device", 23, needs=120),
    Column("Task", 16),
    Column("Warm models", 0),
)
TASK_COLUMNS = (
    Column("GPU", 3),
    Column("Structure", 14),
    Column("Type", 9),
    Column("Model", 13),
    Column("Prio", 4),
    Column("Progress", 0),
    Column("Step", 12, needs=100),
    Column("Time", 6),
    Column("Tags", 14, needs=120),
    Column("Task", 31, needs=130),
)
LEVEL_STYLES = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}


class Top(App[None]):
    """GPUs, queue, tasks and the log of the chosen task, with keys to steer them.

    Parameters
    ----------
    client
        Where to look; closed at the end. One that does not retry shows an outage soonest.
    every_seconds
        Pause between two looks, s; None: the screen shows only what `show` is given.
    """

    TITLE = "mofsim top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layers: base; }
    #head { height: 1; background: $primary-background; }
    #alerts { height: 1; display: none; }
    #queue { height: 1; }
    Rows { border: round $primary; border-title-color: $text; height: auto; scrollbar-size-vertical: 1; }
    Rows:focus { border: round $accent; }
    Rows > .datatable--header { background: $surface; color: $text-muted; text-style: none; }
    #gpus { max-height: 36%; min-height: 4; }
    #tasks { height: 3fr; min-height: 5; }
    #log { height: 2fr; min-height: 4; border: round $primary; scrollbar-size-vertical: 1;
           border-title-color: $text; border-subtitle-color: $text-muted; }
    #log:focus { border: round $accent; }
    #filter { display: none; height: 1; border: none; }
    .dialog { width: 64; height: auto; max-height: 80%; padding: 1 2; border: round $accent;
              background: $surface; }
    .dialog OptionList { height: auto; max-height: 14; border: none; margin: 1 0; background: $surface; }
    .hint { color: $text-muted; margin-top: 1; }
    ModalScreen { align: center middle; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "cancel", "Cancel"),
        Binding("r", "retry", "Retry"),
        Binding("l", "load", "Load"),
        Binding("u", "unload", "Unload"),
        Binding("slash", "filter", "Filter"),
        Binding("escape", "no_filter", "All", show=False),
        Binding("tab", "app.focus_next", "Next panel"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, client: AsyncMOFSimClient, *, every_seconds: float | None = EVERY_SECONDS) -> None:
        super().__init__()
        self._client = client
        self._every_seconds = every_seconds
        self._picture: Picture | None = None
        self._wanted = ""
        self._followed: str | None = None

    # --- what is on the screen -------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Static(f" mofsim top  {self._client.connection.base_url}", id="head")
        yield Static(id="alerts")
        yield Rows(GPU_COLUMNS, id="gpus")
        yield Static(id="queue")
        yield Rows(TASK_COLUMNS, id="tasks")
        yield Input(placeholder="words that a task must have: a name, type, model, state, tag", id="filter")
        yield RichLog(id="log", max_lines=LOG_LINES, wrap=False, auto_scroll=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._gpus.border_title = "GPUs"
        self._tasks.border_title = "Tasks"
        self._log_pane.border_title = "Log"
        self._tasks.focus()
        if self._every_seconds is not None:
            self._look_again_and_again(self._every_seconds)

    async def on_unmount(self) -> None:
        await self._client.close()

    @property
    def _gpus(self) -> Rows:
        return self.query_one("#gpus", Rows)

    @property
    def _tasks(self) -> Rows:
        return self.query_one("#tasks", Rows)

    @property
    def _log_pane(self) -> RichLog:
        return self.query_one("#log", RichLog)

    @property
    def chosen(self) -> TaskInfo | None:
        """The task under the cursor."""
        key = self._tasks.key
        tasks = self._picture.tasks if self._picture else []
        return next((task for task in tasks if task.task_id == key), None)

    # --- looking ---------------------------------------------------------------------------------

    @work
    async def _look_again_and_again(self, every_seconds: float) -> None:
        answered = time.monotonic()
        while True:
            try:
                picture = await look(self._client)
            except MOFSimError as error:
                show = partial(self.show_outage, time.monotonic() - answered, str(error))
            else:
                answered = time.monotonic()
                show = partial(self.show, picture)
            if not self.is_running:
                # The answer came while the screen was being taken down.
                return
            show()
            await asyncio.sleep(every_seconds)

    def show_outage(self, seconds: float, reason: str) -> None:
        """Say that the service does not answer; the rest of the screen stays as it was."""
        text = Text(" mofsim top  ", "bold").append(f"no answer for {words.span(seconds)} ", "bold red")
        text.append(reason, "red")
        text.no_wrap, text.overflow = True, "ellipsis"
        self.query_one("#head", Static).update(text)

    def show(self, picture: Picture) -> None:
        """Show the service as it was at one moment."""
        self._picture = picture
        self.query_one("#head", Static).update(self._head(picture))
        alerts = self.query_one("#alerts", Static)
        alerts.display = bool(picture.alerts)
        alerts.update(words.alert_line(picture))
        self.query_one("#queue", Static).update(words.queue_line(picture))
        self._gpus.show([self._gpu_row(picture, gpu_id) for gpu_id in range(len(picture.system.gpus))])
        self._show_tasks()

    def _head(self, picture: Picture) -> Text:
        health = picture.system.health
        busy = sum(gpu.state == "busy" for gpu in picture.system.gpus)
        text = Text(" mofsim top  ", "bold").append(self._client.connection.base_url, "dim")
        text.append("  ").append(health.status, words.STATE_STYLES.get(health.status, ""))
        away = [name for name, part in health.components.items() if part.state != "ok"]
        if away:
            text.append(f" ({', '.join(away)})", "dim")
        text.append(f"  {busy}/{len(picture.system.gpus)} busy", "dim")
        clock = f"{picture.at.astimezone():%H:%M:%S} "
        text.append(" " * max(2, self.size.width - text.cell_len - len(clock))).append(clock)
        text.no_wrap = True
        return text

    def _gpu_row(self, picture: Picture, place: int) -> tuple[str, list[Text]]:
        gpu = picture.system.gpus[place]
        task = picture.task_on(gpu.gpu_id)
        running = (task.structure_name if task else None) or (gpu.current.task_id if gpu.current else "")
        return str(gpu.gpu_id), [
            Text(f"{gpu.gpu_id:>2}"),
            Text(gpu.state, words.STATE_STYLES.get(gpu.state, "")),
            words.memory(gpu),
            words.temperature(gpu),
            words.percent(gpu.utilisation_percent),
            Text(gpu.device or "", "dim"),
            Text(running, "green"),
            Text(gpu.error, "red") if gpu.error else Text(", ".join(gpu.warm_models)),
        ]

    def _show_tasks(self) -> None:
        picture = self._picture
        if picture is None:
            return
        shown = [task for task in picture.ordered() if self._fits(task)]
        self._tasks.show([(task.task_id, _task_row(task, picture)) for task in shown])
        running = sum(task.status is TaskStatus.RUNNING for task in picture.tasks)
        waiting = picture.system.queue.counts.get("QUEUED", 0)
        title = f"Tasks · {running} running · {waiting} waiting"
        self._tasks.border_title = f"{title} · filter: {self._wanted}" if self._wanted else title
        self._follow_chosen()
        if self.chosen is not None:
            self._log_pane.border_subtitle = _plain(words.figures(self.chosen))

    def _fits(self, task: TaskInfo) -> bool:
        text = " ".join(
            str(part)
            for part in (
                *(task.task_id, task.structure_name, task.task_type, task.model, task.status),
                *(task.priority, *task.tags),
            )
        )
        return all(word in text.lower() for word in self._wanted.lower().split())

    # --- the log of the chosen task --------------------------------------------------------------

    def on_data_table_row_highlighted(self) -> None:
        self._follow_chosen()

    def _follow_chosen(self) -> None:
        task = self.chosen
        if task is None or task.task_id == self._followed:
            return
        self._followed = task.task_id
        self._log_pane.clear()
        self._log_pane.border_title = _plain(f"Log · {task.structure_name} · {task.task_id}")
        self._log_pane.border_subtitle = _plain(words.figures(task))
        if self._every_seconds is not None:
            self._follow(task.task_id)

    @work(exclusive=True, group="log")
    async def _follow(self, task_id: str) -> None:
        """Write the task's log as it comes; a service that went away is asked again."""
        last_id = ""
        while True:
            try:
                async for event in self._client.stream_events(task_id, last_id):
                    if not self.is_running:
                        return
                    last_id = event.id or last_id
                    self._take(event)
                return
            except MOFSimError:
                await asyncio.sleep(EVERY_SECONDS)

    def _take(self, event: Event) -> None:
        if event.type == "log":
            self.show_log([LogLine.model_validate(event.data)])

    def show_log(self, lines: Iterable[LogLine]) -> None:
        """Append lines to the log."""
        for line in lines:
            text = Text(f"{line.timestamp.astimezone():%H:%M:%S} ", "dim")
            self._log_pane.write(text.append(line.message, LEVEL_STYLES.get(line.level, "")))

    # --- keys ------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    def action_no_filter(self) -> None:
        box = self.query_one("#filter", Input)
        box.value = ""
        box.display = False
        self._tasks.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._wanted = event.value
        self._show_tasks()

    def on_input_submitted(self) -> None:
        self.query_one("#filter", Input).display = False
        self._tasks.focus()

    @work(group="question")
    async def action_cancel(self) -> None:
        task = self.chosen
        if task is None:
            return
        if task.status.ended:
            self.notify(f"{task.task_id} has ended already", severity="warning", markup=False)
        elif await self.push_screen_wait(Sure(f"Cancel {task.structure_name} ({task.task_id})?")):
            await self._do(f"stopping {task.task_id}", self._client.cancel_task(task.task_id))

    @work(group="question")
    async def action_retry(self) -> None:
        task = self.chosen
        if task is None:
            return
        if not task.status.ended:
            self.notify(f"{task.task_id} has not ended", severity="warning", markup=False)
        elif await self.push_screen_wait(Sure(f"Submit {task.structure_name} ({task.task_id}) again?")):
            await self._do(f"submitted {task.task_id} again", self._client.retry_task(task.task_id))

    @work(group="question")
    async def action_load(self) -> None:
        try:
            models = [model for model in await self._client.list_models() if model.available]
        except MOFSimError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        choice = {
            gpu_id: sorted(model.name for model in models if gpu_id not in model.loaded_on)
            for gpu_id in self._gpu_ids()
        }
        await self._ask_for_model("Load", choice)

    @work(group="question")
    async def action_unload(self) -> None:
        gpus = self._picture.system.gpus if self._picture else []
        await self._ask_for_model("Unload", {gpu.gpu_id: gpu.warm_models for gpu in gpus})

    def _gpu_ids(self) -> list[int]:
        return [gpu.gpu_id for gpu in self._picture.system.gpus] if self._picture else []

    async def _ask_for_model(self, action: str, choice: dict[int, list[str]]) -> None:
        if not choice:
            self.notify("There is no GPU", severity="warning")
            return
        chosen = await self.push_screen_wait(ChooseModel(action, choice, int(self._gpus.key or min(choice))))
        if chosen is None:
            return
        name, gpu_id = chosen
        self.notify(f"{action.lower()}ing {name}, GPU {gpu_id}", markup=False)
        command = self._client.load_model if action == "Load" else self._client.unload_model
        await self._do(f"{action.lower()}ed {name}, GPU {gpu_id}", command(name, gpu_id))

    async def _do(self, done: str, operation: Coroutine[Any, Any, Any]) -> None:
        try:
            await operation
        except MOFSimError as error:
            self.notify(str(error), severity="error", timeout=15, markup=False)
        else:
            self.notify(done, markup=False)


def _task_row(task: TaskInfo, picture: Picture) -> list[Text]:
    quiet = "dim" if task.status.ended else ""
    priority = task.priority or ""
    gpu = f"{task.gpu_id:>2}" if task.gpu_id is not None and not task.status.ended else ""
    return [
        Text(gpu),
        Text(task.structure_name or "", quiet),
        Text(words.TYPES.get(task.task_type or "", task.task_type or ""), quiet),
        Text(task.model or "", quiet),
        Text(priority[:4], quiet or words.PRIORITY_STYLES.get(priority, "")),
        words.progress(task),
        Text(words.step(task), quiet),
        Text(f"{words.age(task, picture.at):>5}", quiet),
        Text(", ".join(task.tags), quiet),
        Text(task.task_id, "dim"),
    ]


def _plain(text: str) -> str:
    """Borders read markup, which no name of a user's may be."""
    return text.replace("[", r"\[")
