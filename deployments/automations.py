"""The alert rules as Prefect automations, and the webhook block they call.

The gateway's monitor emits the events (`api_gateway/alerts/rules.py`; a test holds both together).
An automation that is there stays as it is, since operators edit and pause them in Prefect's UI; only
the actions made from `alerts.notification_blocks` follow that setting.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import PrefectClient
from prefect.events.actions import ActionTypes, CallWebhook, SendNotification
from prefect.events.filters import AutomationFilter, AutomationFilterName
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from mofsim_settings import Settings

_log = logging.getLogger(__name__)

SINK_BLOCK = "mofsim-alert-sink"
ALERT_EVENTS = {
    "gpu_lost": "mofsim.gpu.lost",
    "gpu_memory_low": "mofsim.gpu.memory-low",
    "gpu_temperature_high": "mofsim.gpu.temperature-high",
    "queue_backlog": "mofsim.queue.backlog",
    "task_failures": "mofsim.model.failing",
    "disk_space_low": "mofsim.disk.space-low",
    "api_slow": "mofsim.api.slow",
    "worker_offline": "mofsim.worker.offline",
    "results_expiring": "mofsim.results.expiring",
    "chore_failed": "mofsim.chore.failed",
}
"""Event of each rule; the same with `.cleared` tells that the condition has ended."""
MARK = "{# from the setting alerts.notification_blocks #}"
"""Begins the text of the actions made from the setting; in the notification it does not appear."""
SUBJECT = "mofsim {{ event.payload.level }}: {{ event.payload.type }}"
BODY = (
    MARK + "{{ event.payload.message }}{% if event.payload.resolved %} (resolved){% endif %}\n"
    "{{ event.payload.details | tojson }}"
)


def automation_name(rule: str) -> str:
    return f"mofsim: {rule}"


async def ensure_automations(settings: Settings, client: PrefectClient) -> None:
    """Bring the sink's block up to date, make the automations that are missing, and have each call
    the notification blocks of the settings."""
    sink = Webhook(
        method="POST",
        url=SecretStr(settings.alert_sink_url),
        headers={"X-MOFSim-Alert-Secret": settings.alert_sink_secret, "Content-Type": "application/json"},
        allow_private_urls=True,
    )
    sink_id = await sink.asave(SINK_BLOCK, overwrite=True, client=client)
    to_sink = CallWebhook(block_document_id=sink_id, payload="{{ event.payload | tojson }}")
    notifications = await _notifications(settings, client)
    names = AutomationFilterName(any_=[automation_name(rule) for rule in ALERT_EVENTS])
    present = {
        automation.name: automation
        for automation in await client.read_automations(automations=AutomationFilter(name=names))
    }
    for rule, event in ALERT_EVENTS.items():
        automation = present.get(automation_name(rule))
        if automation is None:
            await client.create_automation(_automation(rule, event, [to_sink, *notifications]))
            continue
        actions = _with_notifications(automation.actions, notifications)
        if actions != automation.actions:
            changed = automation.model_copy(update={"actions": actions})
            # The client leaves out what was not set: through a document, everything is.
            document = changed.model_dump(mode="json", exclude={"id", "owner_resource"})
            await client.update_automation(automation.id, AutomationCore.model_validate(document))


def _automation(rule: str, event: str, actions: Sequence[ActionTypes]) -> AutomationCore:
    return AutomationCore(
        name=automation_name(rule),
        description="Reports to the alerts of mofsim. Pause it to mute the rule.",
        tags=["mofsim"],
        trigger=EventTrigger(
            expect={event, f"{event}.cleared"},
            match=ResourceSpecification({"prefect.resource.id": "mofsim.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=list(actions),
    )


async def _notifications(settings: Settings, client: PrefectClient) -> list[SendNotification]:
    """An action for each block of the settings that can notify; the others are logged."""
    found = []
    for name in settings.alerts.notification_blocks:
        kind, _, block = name.partition("/")
        try:
            document = await client.read_block_document_by_name(block, kind, include_secrets=False)
        except ObjectNotFound:
            _log.warning("alerts.notification_blocks: Prefect has no block %r; it is told of no alert", name)
            continue
        if document.block_schema is not None and "notify" not in document.block_schema.capabilities:
            _log.warning("alerts.notification_blocks: %r is no notification block", name)
            continue
        found.append(SendNotification(block_document_id=document.id, subject=SUBJECT, body=BODY))
    return found


def _with_notifications(
    actions: Sequence[ActionTypes], wanted: Sequence[SendNotification]
) -> list[ActionTypes]:
    """The actions with those of the setting; those of operators stay as they are."""
    ids = {action.block_document_id for action in wanted}
    kept = [
        action
        for action in actions
        if not isinstance(action, SendNotification)
        or MARK not in action.body
        or action.block_document_id in ids
    ]
    told = {action.block_document_id for action in kept if isinstance(action, SendNotification)}
    return [*kept, *(action for action in wanted if action.block_document_id not in told)]
