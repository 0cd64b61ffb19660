"""Documents of the storage."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Amount(BaseModel):
    """So many, so large."""

    count: int
    bytes: int


class StorageView(BaseModel):
    """What is kept, and how much room is left."""

    results: int = Field(description="Results that are kept.")
    result_files: Amount = Field(
        description="Their files as they lie on the disk, and those of tasks that left no result."
    )
    saved_bytes: int = Field(description="What compression has saved.")
    structures: Amount
    custom_models: Amount
    disk_total_bytes: int
    disk_free_bytes: int
    keep_results_days: int
    expiring_soon: int = Field(description="Results that are cleared away within `remind_before_days`.")
    remind_before_days: int


class DueView(BaseModel):
    """What the data care would do now: a dry run."""

    to_compress: Amount = Field(description="Trajectories older than `compress_after_days`.")
    to_clear: Amount = Field(description="Results whose time is over, and files of tasks that had none.")
    tasks: list[str] = Field(description="The first thousand tasks whose results or files would go.")
