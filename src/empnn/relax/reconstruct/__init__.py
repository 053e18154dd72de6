"""Cells from fractional coordinates and species alone."""

from empnn.relax.reconstruct.reconstructor import AGREEMENT, DEFAULT_STARTS, RANKS, Reconstruction, Reconstructor, load

__all__ = ["AGREEMENT", "DEFAULT_STARTS", "RANKS", "Reconstruction", "Reconstructor", "load"]
