"""What became of structures, made up: for what is told of them."""

from typing import Any

from empnn.bulk.pipeline import REFUSED, Outcome

CUBE = {"cell": [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]], "frac": [[0.0, 0, 0], [0.5, 0.5, 0.5]]}


def relaxed(index: int, volume: float = 0.0, strain: float = 0.0, status: str = "relaxed", **more: Any) -> Outcome:
    """A structure whose volume changed by so many per cent."""
    change = {
        "volume_before": 64.0,
        "volume_after": 64.0 * (1 + volume / 100),
        "volume_change": float(volume),
        "strain": strain,
        "displacement": 0.01 * index,
        "cell_before": [4.0, 4.0, 4.0, 90.0, 90.0, 90.0],
        "cell_after": [4.1, 4.0, 4.0, 90.0, 90.0, 90.0],
        "space_group_before": "Pm-3m (221)",
        "space_group_after": "P4/mmm (123)",
    }
    warnings = ["a doubt, with <tags> & more", "a note"] if status == "suspect" else []
    said = {"status": status, "warnings": warnings, "change": change}
    return Outcome(file="in.cif", index=index, **{"id": f"mp-{index}", **said, **more})


def refused(index: int) -> Outcome:
    """A structure that was refused."""
    return Outcome(file="in.cif", index=index, id=None, status=REFUSED, message="it has no atoms; add some")


def picture() -> dict[str, Any]:
    """What a picture takes of caesium chloride that becomes longer."""
    after = [[4.4, 0, 0], *CUBE["cell"][1:]]
    fracs = {"frac_before": CUBE["frac"], "frac_after": CUBE["frac"]}
    return {"cell_before": CUBE["cell"], "cell_after": after, "numbers": [55, 17], **fracs}


def predicted(volume: float, bound: float | None = None) -> dict[str, float | None]:
    """Predicted errors of a model that moves no atoms."""
    bounds = {"length_90": bound and bound / 50, "volume_90": bound, "position_90": None}
    return {"length": volume / 50, "volume": volume, "position": None, **bounds}


def then(volume: float | None) -> dict[str, Any]:
    """What CHGNet made of an answer of 64 cubic angstrom; it failed if that is None."""
    failed = volume is None
    energies = {"energy_per_atom_before": None if failed else -3.25, "energy_per_atom": None if failed else -3.5}
    reached = {"oracle": "chgnet", "status": "failed" if failed else "converged", **energies}
    return {**reached, "steps": None if failed else 7, "volume_before": 64.0, "volume": volume, "message": None}
