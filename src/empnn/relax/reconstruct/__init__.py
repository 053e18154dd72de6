"""Cells from fractional coordinates and species alone."""

from empnn.relax.reconstruct.reconstructor import DEFAULT_STARTS, RANKS, Reconstruction, Reconstructor, load

__all__ = ["DEFAULT_STARTS", "RANKS", "Reconstruction", "Reconstructor", "load"]
