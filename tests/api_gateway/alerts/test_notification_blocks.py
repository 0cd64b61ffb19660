"""Prefect's own notification blocks as channels: named in the settings, called by the automations."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.blocks.system import Secret
from prefect.client.orchestration import PrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr, ValidationError

from deployments.automations import ALERT_EVENTS, automation_name
from mofsim_settings import AlertSettings
from tests.api_gateway.alerts.world import Watched, set_up, wait_for
from tests.api_gateway.webhooks.receiver import Receiver, receiving

GPU = 0


@pytest.fixture
def chat() -> Iterator[Receiver]:
    """Where the block posts to."""
    with receiving() as receiver:
        yield receiver


async def save(world: Watched, name: str, block: Block) -> None:
    with temporary_settings({PREFECT_API_URL: world.gateway.settings.prefect.api_url}):
        async with PrefectClient(world.gateway.settings.prefect.api_url) as client:
            await block.asave(name, overwrite=True, client=client)


def set_up_with(world: Watched, *blocks: str) -> None:
    """What a worker's start does, with these blocks in the settings."""
    settings = world.gateway.settings
    alerts = settings.alerts.model_copy(update={"notification_blocks": blocks})
    anyio.run(set_up, settings.model_copy(update={"alerts": alerts}), world.gateway.url)


@contextlib.contextmanager
def told_to(world: Watched, *blocks: str) -> Iterator[None]:
    set_up_with(world, *blocks)
    try:
        yield
    finally:
        set_up_with(world)


def automations(world: Watched) -> dict[str, dict[str, Any]]:
    """Ours, by rule, as Prefect has them."""
    names = {automation_name(rule): rule for rule in ALERT_EVENTS}
    found = httpx.post(f"{world.gateway.settings.prefect.api_url}/automations/filter", json={}).json()
    return {names[one["name"]]: one for one in found if one["name"] in names}


def kinds(automation: dict[str, Any]) -> list[str]:
    return [action["type"] for action in automation["actions"]]


def posted(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(raw) for _, raw in list(receiver.requests)]


def test_an_alert_and_its_end_reach_the_receiver_of_a_block(world: Watched, chat: Receiver) -> None:
    message = {"title": "{{subject}}", "text": "{{body}}"}
    block = CustomWebhookNotificationBlock(name="chat", url=chat.url, json_data=message)
    anyio.run(save, world, "chat", block)
    with told_to(world, "custom-webhook/chat"):
        assert all(kinds(one) == ["call-webhook", "send-notification"] for one in automations(world).values())
        world.show(GPU, temperature_C=91)
        raised = wait_for(lambda: posted(chat), "the notification")[0]
        assert raised["title"] == "mofsim WARNING: gpu_temperature_high"
        text, details = raised["text"].split("\n")
        assert text == "GPU 0 is hot: 91 °C"
        assert json.loads(details) == {"gpu_id": GPU, "temperature_C": 91}
        wait_for(lambda: world.active("gpu_temperature_high"), "the alert itself")

        world.show(GPU)
        wait_for(lambda: any("(resolved)" in one["text"] for one in posted(chat)), "the end")
        wait_for(lambda: not world.active("gpu_temperature_high"), "the end of the alert")


def test_slack_s_block_carries_the_same_text(world: Watched, chat: Receiver) -> None:
    address = chat.url.replace("http://", "json://")
    anyio.run(save, world, "ops", SlackWebhook(url=SecretStr(address)))
    with told_to(world, "slack-webhook/ops"):
        world.show(GPU, memory_free_MB=900, memory_total_MB=24_000)
        raised = wait_for(lambda: posted(chat), "the notification")[0]
        assert raised["title"] == "mofsim WARNING: gpu_memory_low"
        assert raised["message"].startswith("GPU 0 is short of memory: 0.9 GB free\n")
        wait_for(lambda: world.active("gpu_memory_low"), "the alert itself")
        world.show(GPU)
        wait_for(lambda: not world.active("gpu_memory_low"), "the end of the alert")


def test_a_block_that_is_missing_or_cannot_notify_is_named_and_stops_nothing(
    world: Watched, chat: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    anyio.run(save, world, "chat", CustomWebhookNotificationBlock(name="chat", url=chat.url, json_data={}))
    anyio.run(save, world, "password", Secret(value=SecretStr("x")))
    muted = automations(world)["disk_space_low"]
    delete = f"{world.gateway.settings.prefect.api_url}/automations/{muted['id']}"
    httpx.delete(delete).raise_for_status()

    with told_to(world, "slack-webhook/nowhere", "secret/password", "custom-webhook/chat"):
        assert "Prefect has no block 'slack-webhook/nowhere'" in caplog.text
        assert "'secret/password' is no notification block" in caplog.text
        found = automations(world)
        assert set(found) == set(ALERT_EVENTS)
        assert all(kinds(one) == ["call-webhook", "send-notification"] for one in found.values())


def test_a_block_that_leaves_the_settings_leaves_the_automations_and_operators_actions_stay(
    world: Watched, chat: Receiver
) -> None:
    for name in ("chat", "own"):
        block = CustomWebhookNotificationBlock(name=name, url=chat.url, json_data={"text": "{{body}}"})
        anyio.run(save, world, name, block)
    before = automations(world)
    with told_to(world, "custom-webhook/own"):
        (own,) = (
            action for action in automations(world)["gpu_lost"]["actions"] if action["type"] != "call-webhook"
        )
    by_hand = own | {"subject": "Mine", "body": "{{ event.payload.message }}"}
    edited = {name: value for name, value in before["gpu_lost"].items() if name in EDITABLE}
    edited |= {"enabled": False, "actions": [*before["gpu_lost"]["actions"], by_hand]}
    address = f"{world.gateway.settings.prefect.api_url}/automations/{before['gpu_lost']['id']}"
    httpx.put(address, json=edited).raise_for_status()

    set_up_with(world, "custom-webhook/chat", "custom-webhook/own")
    named = automations(world)
    assert {rule: len(one["actions"]) for rule, one in named.items()} == dict.fromkeys(ALERT_EVENTS, 3)
    assert by_hand in named["gpu_lost"]["actions"]
    set_up_with(world)
    after = automations(world)
    assert after["gpu_lost"]["actions"] == edited["actions"]
    assert after["gpu_lost"]["enabled"] is False
    assert all(kinds(one) == ["call-webhook"] for rule, one in after.items() if rule != "gpu_lost")
    assert {one["id"] for one in after.values()} == {one["id"] for one in before.values()}

    restored = {name: value for name, value in before["gpu_lost"].items() if name in EDITABLE}
    httpx.put(address, json=restored).raise_for_status()


EDITABLE = {"name", "description", "enabled", "tags", "trigger", "actions"}
"""Fields of an automation that Prefect's UI writes."""


def test_a_block_is_named_by_its_type_and_its_name() -> None:
    with pytest.raises(ValidationError, match="notification_blocks"):
        AlertSettings(notification_blocks=("just-a-name",))
