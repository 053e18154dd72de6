"""Relaxing crystals with a trained network: the Python API."""

from empnn.relax.relaxer import Relaxation, Relaxer, load

__all__ = ["Relaxation", "Relaxer", "load"]
