"""Valid files of one crystal in as many ways as there are: each must be read, and be that crystal."""

from support.rewriting import cif, others
from support.rewriting.sources import Rewrite, Rewriting, Source

__all__ = ["DOUBTFUL", "VALID", "Rewrite", "Rewriting", "Source"]

VALID: dict[str, Rewriting] = cif.VALID | others.VALID
"""What must be read, and right."""

DOUBTFUL: dict[str, Rewriting] = cif.DOUBTFUL | others.DOUBTFUL
"""What may be refused or doubted, but never be read as another crystal."""
