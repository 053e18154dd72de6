"""Relaxing crystals with a trained network: the Python API."""

from empnn.relax.relaxer import Relaxer, load
from empnn.relax.results import Relaxation, Relaxations

__all__ = ["Relaxation", "Relaxations", "Relaxer", "load"]
