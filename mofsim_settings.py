"""The one settings tree of mofsim: every folder may read it, and it imports none of them.

Values come, strongest first, from `MOFSIM_*` environment variables (`MOFSIM_GATEWAY__PORT=8080`),
from what the running stack wrote about itself (`<home>/run/stack.json`: the ports it found, its
database password), from the operator's `<home>/mofsim.toml`, and from the defaults below. Secrets
may also lie one per file in the folder that `MOFSIM_SECRETS_DIR` names, each file called like its
variable (`MOFSIM_DATABASE__URL`); they come right after the environment.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import ssl
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import (
    BaseSettings,
    JsonConfigSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

DEFAULT_HOME = Path.home() / ".mofsim"
BlockName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
"""A block of Prefect: the slug of its type and its name."""


class Section(BaseModel):
    """A branch of the tree; an unknown name in a file is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid")


class DatabaseSettings(Section):
    """PostgreSQL: the embedded server's address, or any other PostgreSQL by URL."""

    url: SecretStr = Field(
        SecretStr(""),
        description="`postgresql://user:password@host:port/database`; empty: the embedded server.",
    )
    pool_size: int = Field(10, ge=1, description="Connections each gateway process keeps open.")
    pool_timeout_seconds: float = Field(10.0, gt=0, description="Longest wait for a connection.")


class PrefectSettings(Section):
    """The Prefect server that orchestrates the flow runs."""

    api_url: str = Field("", description="`http://host:port/api`; empty: the embedded server.")
    ui_url: str = Field("", description="Address of the Prefect UI as an operator's browser sees it.")
    listen_host: str = Field(
        "", description="Address our Prefect server listens on; empty: the host of `api_url`."
    )
    auth_string: SecretStr = Field(
        SecretStr(""), description="`user:password` that the server asks of everybody; empty: nothing."
    )
    tls_ca_file: Path | None = Field(
        None,
        description="Certificate of the authority that signed the one of `api_url`, if no public one did.",
    )
    pool_size: int = Field(
        10, ge=1, description="Connections our Prefect server keeps; twice as many more in a rush."
    )
    keep_runs_days: int = Field(
        30, ge=1, description="Flow runs older than this leave Prefect's own database."
    )

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """How a client checks the server's certificate, as httpx takes it."""
        return True if self.tls_ca_file is None else ssl.create_default_context(cafile=self.tls_ca_file)


class DaskSettings(Section):
    """The Dask scheduler that joins the GPU hosts."""

    scheduler_address: str = Field(
        "", description="`tcp://host:port` (`tls://` with certificates); empty: the embedded scheduler."
    )
    listen_host: str = Field(
        "", description="Address our scheduler listens on; empty: the host of `scheduler_address`."
    )
    dashboard_url: str = Field("", description="Address of the Dask dashboard.")
    connect_timeout_seconds: float = Field(5.0, gt=0, description="Longest wait for the scheduler.")
    tls_ca_file: Path | None = Field(
        None, description="Certificate of the authority that signed those of all machines."
    )
    tls_cert_file: Path | None = Field(None, description="This machine's certificate.")
    tls_key_file: Path | None = Field(None, description="Key of this machine's certificate.")

    @model_validator(mode="after")
    def _tls_is_complete(self) -> DaskSettings:
        files = (self.tls_ca_file, self.tls_cert_file, self.tls_key_file)
        encrypted = self.scheduler_address.startswith("tls://")
        if any(files) != all(files):
            raise ValueError("dask: tls_ca_file, tls_cert_file and tls_key_file belong together")
        if self.scheduler_address and encrypted != all(files):
            raise ValueError("dask: the scheduler_address is tls:// exactly when there are tls files")
        return self


class ComputeSettings(Section):
    """GPU slots and what runs in them."""

    slots: int = Field(
        1, ge=1, le=512, description="Number of GPU slots on all machines: one pool, host and queue set each."
    )
    first_slot: int = Field(0, ge=0, description="Number of this machine's first slot; its first GPU.")
    slots_here: int | None = Field(
        None, ge=1, description="Number of slots on this machine; by default all from `first_slot` on."
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        "auto",
        description="`cpu` runs a slot without a GPU; `auto` insists on one where its driver is loaded.",
    )
    simulated: bool = Field(
        False, description="Slots report a simulated GPU sensor that can be set and made to fail."
    )
    threads_per_host: int = Field(
        1,
        ge=1,
        description="CPU threads of a host; more than one torch thread is slower on a shared machine.",
    )
    warm_models_per_gpu: int = Field(
        2, ge=1, description="Models a host keeps loaded (least recently used leaves)."
    )
    spare_gpu: int | None = Field(
        7,
        description="GPU kept for preloading, CRITICAL tasks and standing in; ignored without such a slot.",
    )
    preload_models: tuple[str, ...] = Field((), description="Models that every host loads at its start.")
    models_dir: Path | None = Field(None, description="Folder of model weights; default `<home>/models`.")

    @property
    def local_slots(self) -> range:
        """Numbers of the slots of this machine."""
        here = self.slots - self.first_slot if self.slots_here is None else self.slots_here
        return range(self.first_slot, self.first_slot + here)

    @model_validator(mode="after")
    def _local_slots_exist(self) -> ComputeSettings:
        if not self.local_slots or self.local_slots[-1] >= self.slots:
            raise ValueError("compute: first_slot and slots_here go beyond slots")
        return self


class StorageSettings(Section):
    """Where structures, results and logs lie; shared by the gateway and the GPU hosts."""

    root: Path | None = Field(None, description="Storage root; default `<home>/storage`.")
    keep_results_days: int = Field(
        180, ge=1, description="Results and files are kept this long, counted from their last use."
    )
    extend_on_access: bool = Field(
        True, description="Reading a result or a file of it counts as use; otherwise only its creation."
    )
    clear_expired: bool = Field(True, description="Clear results away once their time is over.")
    remind_before_days: int = Field(14, ge=0, description="An alert tells of results so close to their end.")
    care_schedule: str = Field(
        "30 2 * * *",
        description="When logs are archived and old data cared for (cron, UTC); empty: only by command.",
    )
    compress_after_days: int = Field(30, ge=1, description="Trajectories older than this are compressed.")


class GatewaySettings(Section):
    """The REST gateway."""

    host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port of the gateway.")
    processes: int = Field(
        1, ge=1, le=64, description="Processes that serve requests; SIGHUP replaces them one by one."
    )
    language: Literal["en", "zh"] = Field("en", description="Language of messages without Accept-Language.")
    max_upload_bytes: int = Field(100 * 1024**2, ge=1, description="Largest structure or model file.")
    max_json_bytes: int = Field(
        32 * 1024**2, ge=1024, description="Largest JSON body; a batch with inline structures needs room."
    )
    max_queued_tasks: int = Field(100_000, ge=1, description="More queued tasks than this answer 30012.")
    max_batch_tasks: int = Field(1000, ge=1, description="Most tasks in one batch.")
    default_rate_per_minute: int = Field(
        6000, ge=1, description="Requests a minute of a key without its own limit."
    )
    metrics_public: bool = Field(True, description="Serve /metrics without a key.")
    cors_origins: tuple[str, ...] = Field(
        (),
        description="Origins whose web pages may call the gateway (`https://lab.example`).",
    )
    webhook_allowed_hosts: tuple[str, ...] = Field(
        (), description="Hosts webhooks may reach although they resolve to private addresses."
    )


class SchedulingSettings(Section):
    """Placement, retries, timeouts and recovery."""

    bind_ahead_below_seconds: float = Field(
        5.0,
        ge=0,
        description="Bind the next run ahead only when the running one is expected to end within this.",
    )
    heartbeat_seconds: float = Field(2.0, gt=0, description="How often an attempt and a host say they live.")
    lost_after_seconds: float = Field(
        20.0, gt=0, description="Silence after which an attempt or host counts as lost."
    )
    cancel_grace_seconds: float = Field(
        10.0, gt=0, description="Time to reach a step boundary before a hard stop."
    )
    spread_over_idle_gpus: bool = Field(
        False,
        description="Let independent stages of one task (displacements, poses, published volume points) "
        "use GPUs that nobody uses.",
    )
    max_attempts: int = Field(
        4,
        ge=1,
        description="Attempts of a task that fails transiently or loses its GPU host; restarts and losses of "
        "what serves all tasks do not count.",
    )
    retry_wait_seconds: float = Field(
        2.0, ge=0, description="Wait before a transient failure is tried again."
    )
    default_timeout_seconds: int = Field(86_400, ge=1, description="Timeout of a task that names none.")
    max_timeout_seconds: int = Field(604_800, ge=1, description="Longest timeout a task may ask for.")
    shutdown_wait_seconds: float = Field(30.0, ge=0, description="How long `down` waits for running tasks.")


class BackupSettings(Section):
    """Copies of everything that cannot be made again."""

    folder: Path | None = Field(
        None, description="Where backups go; not in the home, best on another disk or machine."
    )
    schedule: str = Field(
        "", description="When to make one (cron, UTC), such as `0 2 * * *`; empty: only by command."
    )
    keep: int = Field(14, ge=1, description="Backups kept; a new one removes the oldest beyond these.")

    @model_validator(mode="after")
    def _a_schedule_needs_a_folder(self) -> BackupSettings:
        if self.schedule and self.folder is None:
            raise ValueError("backup: a schedule needs a folder")
        return self


class AlertSettings(Section):
    """What is watched, when it is an alert and when it is over, and who is told."""

    check_seconds: float = Field(2.0, gt=0, description="How often the conditions are looked at.")
    startup_grace_seconds: float = Field(
        60.0, ge=0, description="Silence of hosts and workers is no alert so soon after the gateway's start."
    )
    gpu_memory_free_GB: float = Field(2.0, ge=0, description="Less free GPU memory is an alert.")
    gpu_memory_clear_GB: float = Field(2.5, ge=0, description="… which ends with as much free.")
    gpu_temperature_C: float = Field(85.0, description="A hotter GPU is an alert.")
    gpu_temperature_clear_C: float = Field(80.0, description="… which ends at this temperature.")
    queued_tasks: int = Field(100, ge=0, description="More waiting tasks are an alert.")
    queued_tasks_clear: int = Field(80, ge=0, description="… which ends with as few.")
    model_failures: int = Field(5, ge=0, description="More failures of a model in a row are an alert.")
    disk_free_GB: float = Field(50.0, ge=0, description="Less free space under the storage is an alert.")
    disk_clear_GB: float = Field(55.0, ge=0, description="… which ends with as much free.")
    api_p99_seconds: float = Field(5.0, gt=0, description="A slower 99th percentile of requests is an alert.")
    api_p99_clear_seconds: float = Field(4.0, gt=0, description="… which ends at this one.")
    api_window_seconds: float = Field(300.0, gt=0, description="Requests that the percentile counts.")
    api_least_requests: int = Field(20, ge=1, description="Fewer requests in the window tell nothing.")
    worker_silent_seconds: float = Field(
        30.0, gt=0, description="Silence after which a GPU host or pool worker counts as offline."
    )
    chore_late_seconds: float = Field(
        3600.0, ge=0, description="A backup or another chore that starts later than this is an alert."
    )
    aggregate_seconds: float = Field(
        10.0, ge=0, description="Warnings of this time go out in one notification; CRITICAL goes at once."
    )
    resend_seconds: float = Field(
        10.0,
        gt=0,
        description="An event that no automation answered is emitted again after this, then doubling.",
    )
    webhooks: tuple[str, ...] = Field((), description="Addresses that every notification is posted to.")
    webhook_secret: SecretStr = Field(SecretStr(""), description="Signs notifications like task webhooks.")
    notification_blocks: tuple[BlockName, ...] = Field(
        (), description="Prefect's notification blocks (`slack-webhook/ops`) that are told of alerts too."
    )
    sink_url: str = Field(
        "", description="The gateway's alert sink as the Prefect server reaches it; empty: the local gateway."
    )
    sink_secret: SecretStr = Field(
        SecretStr(""),
        description="Shared by the sink and Prefect's webhook block; empty: derived from the database's URL.",
    )


class TracingSettings(Section):
    """Traces for OpenTelemetry."""

    otlp_endpoint: str = Field(
        "", description="`http://host:4318` of a collector that takes OTLP over HTTP; empty: no traces."
    )
    service_name: str = Field("mofsim-gateway", description="Name of the service in the traces.")
    export_every_seconds: float = Field(5.0, gt=0, description="How often spans are sent.")


class Settings(BaseSettings):
    """Everything that can be configured, by branch."""

    model_config = SettingsConfigDict(
        env_prefix="MOFSIM_", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    home: Path = Field(DEFAULT_HOME, description="Folder that holds everything a stack writes.")
    database: DatabaseSettings = DatabaseSettings()
    prefect: PrefectSettings = PrefectSettings()
    dask: DaskSettings = DaskSettings()
    compute: ComputeSettings = ComputeSettings()
    storage: StorageSettings = StorageSettings()
    gateway: GatewaySettings = GatewaySettings()
    scheduling: SchedulingSettings = SchedulingSettings()
    backup: BackupSettings = BackupSettings()
    alerts: AlertSettings = AlertSettings()
    tracing: TracingSettings = TracingSettings()

    @property
    def storage_root(self) -> Path:
        return self.storage.root or self.home / "storage"

    @property
    def models_dir(self) -> Path:
        return self.compute.models_dir or self.home / "models"

    @property
    def run_dir(self) -> Path:
        """Sockets, pid files and `stack.json` of the running stack."""
        return self.home / "run"

    @property
    def log_dir(self) -> Path:
        return self.home / "logs"

    @property
    def chores_scheduled(self) -> bool:
        """Whether anything runs by the clock."""
        return bool(self.backup.schedule or self.storage.care_schedule)

    @property
    def alert_sink_url(self) -> str:
        """Where Prefect's automations report alerts."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.gateway.host, self.gateway.host)  # noqa: S104
        return self.alerts.sink_url or f"http://{host}:{self.gateway.port}/api/v1/system/alerts/sink"

    @property
    def alert_sink_secret(self) -> str:
        """Known to whoever knows the database: the gateway, and whoever sets Prefect up."""
        given = self.alerts.sink_secret.get_secret_value()
        url = self.database.url.get_secret_value()
        return given or hmac.new(url.encode(), b"mofsim alert sink", hashlib.sha256).hexdigest()

    @property
    def admin_key_file(self) -> Path:
        return self.home / "admin.key"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        home = Path((env_settings_home(env_settings) | init_settings()).get("home", DEFAULT_HOME))
        return (
            init_settings,
            env_settings,
            *secret_files(file_secret_settings),
            JsonConfigSettingsSource(settings_cls, json_file=home / "run" / "stack.json"),
            TomlConfigSettingsSource(settings_cls, toml_file=home / "mofsim.toml"),
        )


def env_settings_home(source: PydanticBaseSettingsSource) -> dict[str, str]:
    """The home folder the environment names, needed before the files in it can be read."""
    value = source().get("home")
    return {} if value is None else {"home": value}


def secret_files(source: PydanticBaseSettingsSource) -> tuple[PydanticBaseSettingsSource, ...]:
    """The folder of secrets that the environment names, if it names one."""
    folder = os.environ.get("MOFSIM_SECRETS_DIR")
    if folder is None:
        return ()
    return (NestedSecretsSettingsSource(source, secrets_dir=folder, secrets_dir_missing="error"),)


def load_settings(home: Path | str | None = None) -> Settings:
    """Read the tree; `home` given by an argument beats `MOFSIM_HOME`."""
    return Settings() if home is None else Settings(home=Path(home).expanduser().absolute())
