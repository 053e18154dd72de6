"""For jobflow: a `Maker` whose jobs relax a structure, for the slot of a pre-relaxation in flows of atomate2."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field
from pymatgen.core import Structure

from empnn.integrations.common import mark
from empnn.models import DEFAULT
from empnn.relax import Relaxation, load
from empnn.version import __version__

try:
    from jobflow import Maker, job
except ModuleNotFoundError as error:
    if error.name != "jobflow":
        raise
    raise ImportError(f"{__name__} needs jobflow; pip install 'empnn[integrations]' or jobflow alone") from None


class EMPNNRelaxDocument(BaseModel):
    """What a job leaves behind."""

    structure: Structure = Field(description="The relaxed structure")
    dir_name: None = Field(default=None, description="None: no files for the next job to start from")
    status: str = Field(description="relaxed, unchanged or suspect")
    warnings: list[str] = Field(description="Doubts and notes, in words")
    volume_change: float = Field(description="V / V before - 1")
    strain: float = Field(description="Frobenius norm of the Hencky strain")
    displacement: float = Field(description="Largest displacement of an atom within the cell, angstrom")
    errors: dict[str, float] = Field(default_factory=dict, description="Predicted errors, by name: angstrom, per cent")
    model: str = Field(description="Name or folder of the model")
    digest: str = Field(description="What tells its weights from others")
    empnn_version: str = Field(default=__version__, description="Version of empnn")


@dataclass
class EMPNNRelaxMaker(Maker):
    """Makes jobs that relax a structure with a trained network.

    Where a flow of atomate2 takes a maker that relaxes first (`DoubleRelaxMaker(relax_maker1=...)`), this one fits: the
    job's output has the `structure`, and a `dir_name` that says that there are no files to go on from.

    Args:
        name: Name of the jobs.
        model: A packaged model by name, a model folder or a run directory, as the machine finds it that runs the job.
        fix: What stays: the `cell`, or the `positions`, all fractional coordinates.
        passes: How often the network is applied; by default once, and again where the cell changes much.
        device: Where to compute; found by itself by default.
    """

    name: str = "EMPNN relax"
    model: str = DEFAULT
    fix: str | None = None
    passes: int | None = None
    device: str | None = None

    @job(output_schema=EMPNNRelaxDocument)
    def make(self, structure: Structure, prev_dir: str | Path | None = None) -> EMPNNRelaxDocument:
        """A job that relaxes a structure.

        Args:
            structure: The structure.
            prev_dir: Without a meaning, for nothing of an earlier calculation is needed.

        Raises:
            ConfigError: Of the job: if there is no such model or device, or what is to stay cannot.
            CrystalError: Of the job: if the structure is unusable.
        """
        relaxer = load(self.model, self.device)
        result: Relaxation[Structure] = relaxer.relax(structure, passes=self.passes, fix=self.fix)
        mark(result.structures.properties, result)
        return EMPNNRelaxDocument(
            structure=result.structures,
            status=result.status,
            warnings=result.warnings,
            volume_change=float(np.expm1(np.trace(result.strain))),
            strain=float(np.linalg.norm(result.strain)),
            displacement=float(np.linalg.norm(np.asarray(result.displacements), axis=1).max()),
            errors={} if result.errors is None else result.errors.as_dict(),
            model=relaxer.name,
            digest=relaxer.digest(),
        )
