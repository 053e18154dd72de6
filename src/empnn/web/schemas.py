"""What requests and answers look like: the source of the page that describes the interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from empnn.relax.changes import Change
from empnn.relax.trust import PredictedErrors

MOST_PASSES = 10
MOST_STRAIN = 0.3
_MOST_FILES = 10_000
_NAME = Field(
    max_length=200, description="What it is called; may tell the format (`.cif`, `POSCAR`, `.extxyz`, `.json`)."
)
_PICTURE = "Add cells (rows, angstrom) and fractional coordinates before and after, and the cell after each layer."


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class File(_Request):
    """Structures as text: CIF, POSCAR, extxyz or pymatgen JSON."""

    name: Annotated[str, _NAME] = "crystals"
    text: str


Files = Annotated[list[File], Field(min_length=1, max_length=_MOST_FILES)]
Kind = Literal["cif", "poscar", "extxyz", "json"]


class Relax(_Request):
    """Structures to relax, and how: the options of `empnn relax`."""

    files: Files
    model: Annotated[str | None, Field(max_length=200, description="A name of `/api/models`; the default if null.")] = (
        None
    )
    passes: Annotated[int | None, Field(ge=1, le=MOST_PASSES, description="Applications of the network.")] = None
    fix: Annotated[Literal["cell", "positions"] | None, Field(description="What stays as it is.")] = None
    symmetrize: Annotated[
        float | None, Field(gt=0, le=1, description="Angstrom within which the space group found is made exact.")
    ] = None
    space_groups: Annotated[
        bool | None, Field(description="Look for space groups; if null, where there are up to 100 structures.")
    ] = None
    write: Annotated[Kind | None, Field(description="Add each relaxed structure as text in this format.")] = None
    pictures: Annotated[bool, Field(description=_PICTURE)] = False


class Strain(_Request):
    """Structures whose cells are to be strained at random by exp(A)."""

    files: Files
    sigma: Annotated[float, Field(ge=0, le=MOST_STRAIN, description="Deviation of the nine entries of A.")] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**32, description="Another one, another strain.")] = 0


class Convert(_Request):
    """Structures to write in another format."""

    files: Files
    format: Annotated[
        Literal["cif", "poscar", "extxyz", "json", "zip"], Field(description="A zip holds files in all formats.")
    ]
    answers: Annotated[dict[str, Any] | None, Field(description="Put beside the files of a zip.")] = None


@dataclass(frozen=True, kw_only=True)
class ChangeOfGroups(Change):
    """What relaxing changed of one crystal, and its space groups where they were looked for."""

    space_group_before: str | None = None
    space_group_after: str | None = None


class Picture(BaseModel):
    """What is drawn of a crystal before and after."""

    numbers: list[int]
    cell_before: list[list[float]]
    cell_after: list[list[float]]
    frac_before: list[list[float]]
    frac_after: list[list[float]]
    trajectory: list[list[list[float]]]


class Relaxed(BaseModel):
    """What became of a structure."""

    file: str
    index: int
    id: str | None
    status: Literal["relaxed", "unchanged", "suspect", "refused"]
    warnings: list[str]
    message: Annotated[str | None, Field(description="Why it was refused: what is wrong; what to do.")]
    change: ChangeOfGroups | None
    errors: PredictedErrors | None
    written: str | None = None
    picture: Picture | None = None


class RelaxAnswer(BaseModel):
    """What `empnn relax` says in JSON."""

    relaxed: int
    skipped: int
    structures: list[Relaxed]


class Strained(BaseModel):
    """A strained structure, as extxyz."""

    file: str
    index: int
    id: str | None
    status: Literal["strained", "refused"]
    message: str | None
    written: str | None


class StrainAnswer(BaseModel):
    """Strained structures."""

    strained: int
    skipped: int
    structures: list[Strained]


class About(BaseModel):
    """What a client should know: models, limits, and how elements are drawn."""

    version: str
    model: Annotated[str, Field(description="The default.")]
    moving_atoms: Annotated[list[str], Field(description="Models that move atoms within the cell too.")]
    limits: dict[str, float]
    elements: dict[str, dict[str, Any]]


class Example(BaseModel):
    """A crystal to begin with."""

    name: str
    about: str
    file: File


class Error(BaseModel):
    """Why a request is not answered: what is wrong; what to do."""

    error: str
