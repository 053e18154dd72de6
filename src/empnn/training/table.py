"""How a run goes, as a table that fits 80 columns: a line per validation, a column for each part of the error."""

from __future__ import annotations

from empnn.training.task import Removed

_STEP, _LOSS, _PART, _LEFT = 7, 8, 6, 9
_ROUND_BELOW = -0.999
"""Below this, a fraction in per cent has room for whole numbers only."""


def heading(removed: Removed) -> list[str]:
    """What stands above the lines: kinds of corruption, if there are several, and the parts of the error of each."""
    kinds = {kind: _widths(parts) for kind, parts in removed.items()}
    parts = "".join(f"{name:>{width}}" for widths in kinds.values() for name, width in widths.items())
    columns = f"{'step':>{_STEP}}{'loss':>{_LOSS}}{parts}{'mean':>{_PART}}  {'left':>{_LEFT}}"
    above = "".join(f"{kind:>{sum(widths.values())}}" for kind, widths in kinds.items())
    title = "error removed, in % (0 is doing nothing); * marks the best so far"
    return [title, *([f"{'':{_STEP + _LOSS}}{above}"] if any(kinds) else []), columns]


def line(step: int, loss: float | None, removed: Removed, score: float, better: bool, left: str) -> str:
    """One validation."""
    shown = "".join(
        _per_cent(parts[name], width) for parts in removed.values() for name, width in _widths(parts).items()
    )
    lost = f"{'-' if loss is None else format(loss, '.4f'):>{_LOSS}}"
    return f"{step:>{_STEP},}{lost}{shown}{_per_cent(score, _PART)}{' *' if better else '  '}{left:>{_LEFT}}"


def _widths(parts: dict[str, float]) -> dict[str, int]:
    return {name: max(_PART, len(name) + 1) for name in parts}


def _per_cent(fraction: float, width: int) -> str:
    return f"{100 * fraction:{width}.{1 if fraction > _ROUND_BELOW else 0}f}"
