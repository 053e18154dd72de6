"""Relaxing crystals with a trained network: the Python API."""

from empnn.relax.relaxer import Relaxer, load
from empnn.relax.results import Relaxation, Relaxations
from empnn.relax.trust import PredictedErrors

__all__ = ["PredictedErrors", "Relaxation", "Relaxations", "Relaxer", "load"]
