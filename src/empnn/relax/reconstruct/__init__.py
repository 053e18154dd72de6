"""Cells from fractional coordinates and species alone."""

from empnn.relax.reconstruct.reconstructor import AGREEMENT, NONE, RANKS, Reconstruction, Reconstructor, load

__all__ = ["AGREEMENT", "NONE", "RANKS", "Reconstruction", "Reconstructor", "load"]
