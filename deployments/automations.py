"""The alert rules as Prefect automations, and the webhook block they call.

The gateway's monitor emits the events (`api_gateway/alerts/rules.py`; a test holds both together).
An automation that is there stays as it is: operators edit and pause them in Prefect's UI.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import PrefectClient
from prefect.events.actions import CallWebhook, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from pydantic import SecretStr

from mofsim_settings import Settings

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
}
"""Event of each rule; the same with `.cleared` tells that the condition has ended."""
SUBJECT = "mofsim {{ event.payload.level }}: {{ event.payload.type }}"
BODY = (
    "{{ event.payload.message }}{% if event.payload.resolved %} (resolved){% endif %}\n"
    "{{ event.payload.details | tojson }}"
)


def automation_name(rule: str) -> str:
    return f"mofsim: {rule}"


async def ensure_automations(settings: Settings, client: PrefectClient) -> None:
    """Bring the sink's block up to date and make the automations that are missing."""
    sink = Webhook(
        method="POST",
        url=SecretStr(settings.alert_sink_url),
        headers={"X-MOFSim-Alert-Secret": settings.alert_sink_secret, "Content-Type": "application/json"},
        allow_private_urls=True,
    )
    sink_id = await sink.asave(SINK_BLOCK, overwrite=True, client=client)
    actions: list[CallWebhook | SendNotification] = [
        CallWebhook(block_document_id=sink_id, payload="{{ event.payload | tojson }}")
    ]
    for name in settings.alerts.notification_blocks:
        kind, _, block = name.partition("/")
        document = await client.read_block_document_by_name(name=block, block_type_slug=kind)
        actions.append(SendNotification(block_document_id=document.id, subject=SUBJECT, body=BODY))
    present = {automation.name for automation in await client.read_automations()}
    for rule, event in ALERT_EVENTS.items():
        if automation_name(rule) in present:
            continue
        await client.create_automation(
            AutomationCore(
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
                actions=actions,
            )
        )
