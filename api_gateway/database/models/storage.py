"""Uploaded structures, custom models and the files of results. Paths are relative to the storage root."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from api_gateway.database.models.base import Base, CreatedAt, Identifier, Json, text_enum


class Structure(Base):
    """An uploaded structure: as it came and in canonical form."""

    __tablename__ = "structures"
    __table_args__ = (
        Index(
            "uq_structures_source_sha256",
            "source_sha256",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("ix_structures_created_at_id", "created_at", "id"),
    )

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    name: Mapped[str]
    format: Mapped[str]
    source_path: Mapped[str]
    source_sha256: Mapped[str]
    """Digest of the upload: the same content twice is one structure."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str]
    """Canonical extended XYZ."""
    sha256: Mapped[str]
    n_atoms: Mapped[int]
    formula: Mapped[str]
    elements: Mapped[list[str]]
    space_group: Mapped[str | None]
    cell_parameters: Mapped[Json | None]
    density_g_cm3: Mapped[float | None]
    neighbours: Mapped[Json | None]
    """Ordered pairs of atoms within each of some radii, `{"5.0": 1674}`: what memory is told from."""
    warnings: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    api_key_id: Mapped[Identifier | None] = mapped_column(ForeignKey("api_keys.id"))
    created_at: Mapped[CreatedAt]
    deleted_at: Mapped[datetime | None]


class File(Base):
    """A file of a task's result, or one that its last attempt left instead of a result.

    Size and digest are those of its content, compressed or not.
    """

    __tablename__ = "files"
    __table_args__ = (Index("ix_files_task_id", "task_id"),)

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    task_id: Mapped[Identifier | None] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    attempt: Mapped[int | None]
    role: Mapped[str]
    path: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    created_at: Mapped[CreatedAt]
    stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Size on the disk of a file that lies there compressed (`<path>.gz`); 0 once it is cleared away."""
    used_at: Mapped[datetime | None]
    """Last use of a file whose task has no result: it is kept from then, else from its creation."""


class CustomModelStatus(StrEnum):
    """A custom model can be used only when validated."""

    UPLOADED = "uploaded"
    VALIDATING = "validating"
    VALIDATED = "validated"
    REJECTED = "rejected"


class CustomModel(Base):
    """A model that a user uploaded."""

    __tablename__ = "custom_models"
    __table_args__ = (
        Index("uq_custom_models_name", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_custom_models_validating", "id", postgresql_where=text("status = 'validating'")),
    )

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    name: Mapped[str]
    framework: Mapped[str]
    description: Mapped[str] = mapped_column(server_default=text("''"))
    with_d3: Mapped[bool]
    config: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    file_name: Mapped[str]
    path: Mapped[str]
    sha256: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[CustomModelStatus] = mapped_column(text_enum(CustomModelStatus, "status"))
    validation: Mapped[Json | None]
    """Report of each check."""
    api_key_id: Mapped[Identifier | None] = mapped_column(ForeignKey("api_keys.id"))
    created_at: Mapped[CreatedAt]
    validated_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    card: Mapped[Json | None]
    """How it is loaded (`CustomModelCard`), once validated."""
    validation_worker: Mapped[str | None]
    """Process that validates it."""
    validation_seen_at: Mapped[datetime | None]
    """When that process last said that it lives."""
    validation_attempts: Mapped[int] = mapped_column(server_default=text("0"))
