"""Energies of crystals, by machine-learned potentials, density functional theory or any ASE calculator."""

from empnn.energy.metrics import EnergyMetrics, energy_metrics
from empnn.energy.oracle import EnergyOracle, OracleRelaxation, Request, Result
from empnn.energy.oracles.registry import ORACLES, load_oracle

__all__ = [
    "ORACLES",
    "EnergyMetrics",
    "EnergyOracle",
    "OracleRelaxation",
    "Request",
    "Result",
    "energy_metrics",
    "load_oracle",
]
