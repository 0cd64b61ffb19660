"""Documents of the resource of uploaded models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from api_gateway.database.models import CustomModelStatus
from api_gateway.envelope import Timestamp
from mof_benchmark.schemas.custom_model import ValidationReport

METADATA_EXAMPLE = (
    '{"name": "my_custom_mace", "framework": "mace", "description": "Trained on my MOFs", '
    '"with_d3": true, "config": {"precision": "float32"}}'
)


class CustomModelView(BaseModel):
    """An uploaded model."""

    model_id: str = Field(examples=["model_01kb3jz4zv8m1x2c7d9e5f6g7h"])
    name: str = Field(description="Name by which tasks ask for it.", examples=["my_custom_mace"])
    framework: str = Field(examples=["mace"])
    description: str
    with_d3: bool = Field(description="Whether PBE-D3(BJ) is added by default.")
    config: dict[str, Any]
    status: CustomModelStatus = Field(description="Only a validated model can be used.")
    file_name: str
    size_bytes: int
    sha256: str = Field(description="Digest of the uploaded file.")
    created_at: Timestamp
    validated_at: Timestamp | None


class CustomModelDetail(CustomModelView):
    """An uploaded model with what its validation found."""

    validation: ValidationReport | None = Field(description="Each check with its figure; null before.")
