"""What all tables share: naming of constraints, column types, and how enumerations are stored."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import DateTime, Double, Enum, MetaData, String, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

Json = dict[str, Any]

Identifier = Annotated[str, mapped_column(String(64, collation="C"))]
"""A public identifier (`task_…`). Collation C keeps its order the order of creation everywhere."""

CreatedAt = Annotated[datetime, mapped_column(server_default=func.clock_timestamp())]


class Base(DeclarativeBase):
    """Root of the tables."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration
        datetime: DateTime(timezone=True),
        str: Text(),
        float: Double(),
        list[str]: ARRAY(Text()),
        Json: JSONB(),
        list[Json]: JSONB(),
    }


def text_enum(kind: type[StrEnum], name: str) -> Enum:
    """Text with a check: unlike a native enum, a later migration can change it in one transaction."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )
