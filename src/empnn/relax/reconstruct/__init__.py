"""Cells from fractional coordinates and species alone."""

from empnn.relax.reconstruct.reconstructor import RANKS, Reconstruction, Reconstructor, load

__all__ = ["RANKS", "Reconstruction", "Reconstructor", "load"]
