"""Documents of the structure resource."""

from __future__ import annotations

from pydantic import BaseModel, Field

from api_gateway.envelope import Timestamp
from mof_benchmark.schemas import CellParameters

SYMBOL = Field(
    description="International short symbol; null without a cell, or when the cell is too large to search.",
    examples=["Fm-3m"],
)
NUMBER = Field(description="Number in the International Tables, 1 to 230; null as above.", examples=[225])


class StructurePreview(BaseModel):
    """What was read from a file."""

    name: str
    format: str = Field(description="Format of the upload: cif, xyz, extxyz, poscar.")
    n_atoms: int
    formula: str = Field(examples=["C48H24O26Zn8"])
    elements: list[str]
    space_group: str | None = SYMBOL
    space_group_number: int | None = NUMBER
    cell_parameters: CellParameters | None = Field(description="Å and degrees; null without a cell.")
    density_g_cm3: float | None
    warnings: list[str] = Field(description="What a careful reader should know.")
    size_bytes: int


class StructureView(StructurePreview):
    """An uploaded structure and what was read from it."""

    file_id: str = Field(examples=["struct_01kb3jz4zv8m1x2c7d9e5f6g7h"])
    created_at: Timestamp


class BuiltinView(BaseModel):
    """A structure that comes with the service, and where its crystal data come from."""

    name: str = Field(examples=["MOF-5"])
    title: str
    formula: str = Field(description="Formula unit.", examples=["Zn4O(C8H4O4)3"])
    description: str
    source: str
    doi: str
    published: str = Field(description="Which of the data were published.")
    constructed: str = Field(description="Which were constructed, and how; empty when all were published.")
    space_group: str | None = SYMBOL
    space_group_number: int | None = NUMBER
    density_g_cm3: float
    n_atoms: int


class Deleted(BaseModel):
    """Something was deleted."""

    id: str
    deleted: bool = True
