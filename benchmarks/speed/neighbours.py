"""Shell-complete graphs of 1,024 strained MP-20 crystals, k = 8, per second, against searches that know the cutoff.

pymatgen's C routine and vesin are given, for each crystal, the points and the smallest cutoff that holds its edges.
Ours has to find that cutoff, takes any basis, keeps shells whole and groups the edges by both ends.
Usage: python -m benchmarks.speed.neighbours   (EMPNN_DATA names the data; needs vesin: pip install vesin)
"""

import itertools
from importlib.metadata import version

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres
from vesin import NeighborList

from benchmarks.bench import alternate, row, strained, write
from empnn.graph import knn

N, K = 1024, 8


def main() -> None:
    """Measure."""
    crystals = strained(N)
    graph = knn(K)(crystals)
    cutoffs = np.zeros(N)
    np.maximum.at(cutoffs, graph.batch.numpy(), np.linalg.norm(graph.vectors.numpy(), axis=1) * (1 + 1e-9))
    cells, starts = crystals.cell.numpy(), crystals.starts.tolist()
    positions = np.einsum("ai,aij->aj", crystals.frac.numpy(), cells[crystals.batch.numpy()])
    points = [np.ascontiguousarray(positions[a:b]) for a, b in itertools.pairwise(starts)]
    periodic = np.ones(3, dtype=np.int64)

    def pymatgen() -> None:
        for own, cell, cutoff in zip(points, cells, cutoffs, strict=True):
            find_points_in_spheres(own, own, cutoff, periodic, cell, tol=1e-8)

    def vesin() -> None:
        for own, cell, cutoff in zip(points, cells, cutoffs, strict=True):
            neighbours = NeighborList(cutoff=float(cutoff), full_list=True)
            neighbours.compute(points=own, box=cell, periodic=True, quantities="ijSd")

    seconds = alternate({"ours": lambda: knn(K)(crystals), "pymatgen": pymatgen, "vesin": vesin}, 9)
    rates = {name: N / value for name, value in seconds.items()}
    versions = {name: version(name) for name in ("pymatgen", "vesin")}
    what = "shell-complete graphs, k = 8, MP-20"
    rows = [
        row(what, f"{rates['ours']:,.0f}/s", f"{name} {rates[name]:,.0f}/s", rates["ours"] / rates[name])
        for name in ("pymatgen", "vesin")
    ]
    write("neighbours", __doc__ or "", {"edges": len(graph), "versions": versions, "per_second": rates, "rows": rows})


if __name__ == "__main__":
    main()
