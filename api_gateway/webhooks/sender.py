"""Sends what lies in the outbox: signed, to the address that was checked, again when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import httpx
import psycopg
import structlog
from cryptography.fernet import InvalidToken
from sqlalchemy.exc import SQLAlchemyError

from api_gateway.database import Database, SecretBox
from api_gateway.database.models import DeliveryStatus
from api_gateway.errors import WebhookAddressError
from api_gateway.metrics import instruments
from api_gateway.webhooks import repository
from api_gateway.webhooks.addresses import AddressRules, Target
from api_gateway.webhooks.repository import Claimed

ANSWER_SECONDS = 10.0
AT_ONCE = 16
_LOOK_SECONDS = 30.0
"""Without any wake-up the outbox is looked at this often."""
_PAUSE_SECONDS = 2.0
log = structlog.get_logger("gateway.webhooks")


@dataclass(frozen=True)
class Outcome:
    """How a try went; `error` is None when the receiver took it."""

    status_code: int | None
    latency_ms: float | None
    error: str | None


def sign(secret: str, timestamp: str, body: str) -> str:
    """`X-MOFSim-Signature`: HMAC-SHA256 of `{timestamp}.{body}`."""
    digest = hmac.new(secret.encode(), f"{timestamp}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"sha256={digest}"


class WebhookSender:
    """Delivers webhooks; any number of processes may do so at once.

    Parameters
    ----------
    tls
        Trust for https receivers; default: the usual authorities.
    """

    def __init__(
        self,
        database: Database,
        addresses: AddressRules,
        secrets: SecretBox,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._database = database
        self._addresses = addresses
        self._secrets = secrets
        self._tls = tls or ssl.create_default_context()
        self._news = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver for as long as the block runs."""
        loops = [
            asyncio.create_task(self._listen_for_ever(), name="webhook-listener"),
            asyncio.create_task(self._send_for_ever(), name="webhook-sender"),
        ]
        try:
            yield
        finally:
            tasks = [*loops, *self._busy.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                async with self._database.connection("mofsim_webhook") as connection:
                    self._news.set()
                    async for _ in connection.notifies():
                        self._news.set()
            except (psycopg.Error, OSError):
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _send_for_ever(self) -> None:
        # Nothing is kept alive: a connection pinned to an address serves one host name only.
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            verify=self._tls, limits=limits, follow_redirects=False, trust_env=False, timeout=ANSWER_SECONDS
        ) as client:
            while True:
                self._news.clear()
                try:
                    wait = await self._start_due(client)
                except (SQLAlchemyError, OSError) as error:
                    log.warning("outbox not readable", error=type(error).__name__)
                    wait = _PAUSE_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._news.wait()

    async def _start_due(self, client: httpx.AsyncClient) -> float:
        """Start what is due and return how long to wait for more, s."""
        room = AT_ONCE - len(self._busy)
        if room <= 0:
            return _LOOK_SECONDS
        async with self._database.begin() as session:
            claimed = await repository.claim(session, list(self._busy), room)
            next_in = await repository.seconds_to_next(session)
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(client, delivery))
            self._busy[delivery.task_id] = task
            task.add_done_callback(partial(self._done, delivery.task_id))
        return _LOOK_SECONDS if next_in is None else min(max(next_in, 0.2), _LOOK_SECONDS)

    def _done(self, task_id: str, _: asyncio.Task[None]) -> None:
        self._busy.pop(task_id, None)
        self._news.set()

    async def _deliver(self, client: httpx.AsyncClient, delivery: Claimed) -> None:
        outcome = await self._try(client, delivery)
        told = "delivered" if outcome.error is None else "failed"
        instruments.webhook_attempts.labels(delivery.event, told).inc()
        if outcome.latency_ms is not None:
            instruments.webhook_seconds.observe(outcome.latency_ms / 1000)
        given_up = outcome.error is not None and delivery.attempts > delivery.retry_times
        log.info(
            "webhook",
            task_id=delivery.task_id,
            delivery=delivery.id,
            webhook_event=delivery.event,
            status_code=outcome.status_code,
            error=outcome.error,
        )
        try:
            async with self._database.begin() as session:
                await repository.add_attempt(
                    session,
                    delivery.id,
                    status_code=outcome.status_code,
                    latency_ms=outcome.latency_ms,
                    error=outcome.error,
                )
                if outcome.error is None:
                    await repository.settle(session, delivery.id, DeliveryStatus.DELIVERED)
                elif given_up:
                    await repository.settle(session, delivery.id, DeliveryStatus.FAILED)
                else:
                    wait = delivery.retry_interval_seconds * 2.0 ** (delivery.attempts - 1)
                    await repository.postpone(session, delivery.id, wait)
        except (SQLAlchemyError, OSError) as error:
            # The lease runs out and the delivery is tried again under the same identifier.
            log.warning("webhook outcome not stored", delivery=delivery.id, error=type(error).__name__)

    async def _try(self, client: httpx.AsyncClient, delivery: Claimed) -> Outcome:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                target = await self._addresses.check(delivery.url)
                request = self._request(client, delivery, target)
                response = await client.send(request, stream=True)
                await response.aclose()
        except WebhookAddressError as error:
            return Outcome(None, None, error.detail)
        except TimeoutError:
            return Outcome(None, None, f"no answer within {ANSWER_SECONDS:.0f} s")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            return Outcome(None, None, type(error).__name__)
        except InvalidToken:
            return Outcome(None, None, "the stored secret cannot be read with this home's key")
        latency_ms = round((time.perf_counter() - started) * 1000, 1)
        code = response.status_code
        return Outcome(code, latency_ms, None if 200 <= code < 300 else f"answered {code}")

    def _request(self, client: httpx.AsyncClient, delivery: Claimed, target: Target) -> httpx.Request:
        timestamp = str(int(time.time()))
        url = httpx.URL(delivery.url)
        headers = {
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            "User-Agent": "mofsim-webhooks",
            "X-MOFSim-Event": delivery.event,
            "X-MOFSim-Delivery": delivery.id,
            "X-MOFSim-Timestamp": timestamp,
        }
        if delivery.secret_encrypted is not None:
            secret = self._secrets.decrypt(delivery.secret_encrypted)
            headers["X-MOFSim-Signature"] = sign(secret, timestamp, delivery.body)
        # Connects to the address that was checked, and to no other; the certificate must still
        # be that of the host name.
        return client.build_request(
            "POST",
            url.copy_with(host=target.address),
            content=delivery.body.encode(),
            headers=headers,
            extensions={"sni_hostname": target.host},
        )
