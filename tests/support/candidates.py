"""Crystals in the cells and at the places of others, with the digits of real files: their thirds are not thirds."""

from ase import Atoms


def cadmium_iodide() -> Atoms:
    """SnSe2 in the layers of another compound, its cell turned a little by rounding."""
    cell = [[4.9681499, 8e-08, 0], [-2.48407502, 4.30254398, 0], [0, 0, 3.5652]]
    frac = [[0, 0, 0], [0.666667, 0.333333, 0.514739], [0.333333, 0.666667, 0.485261]]
    return Atoms("SnSe2", cell=cell, scaled_positions=frac, pbc=True)


def nickel_arsenide() -> Atoms:
    """Nd4In2, hexagonal: operations that spglib finds within 1e-5 angstrom are off by nearly that."""
    cell = [[4.75322631, 2.3e-07, 0], [-2.37661335, 4.11641461, 0], [0, 0, 5.641794]]
    third, two = 0.333333, 0.666667
    frac = [[0, 0, 0], [two, third, 0.25], [third, two, 0.75], [0, 0, 0.5], [third, two, 0.25], [two, third, 0.75]]
    return Atoms("Nd4In2", cell=cell, scaled_positions=frac, pbc=True)


def orthorhombic() -> Atoms:
    """Fe4O4F4 with rounded angles and places: hardly anything is left of its group."""
    cell = [[3.758196, 0, 0], [0, 7.024582, 5.37e-06], [0, -4.8e-06, 6.276252]]
    frac = [
        [0.75, 0.43971925, 0.3530425],
        [0.75, 0.06028075, 0.8530445],
        [0.25, 0.93969425, 0.1469285],
        [0.249999, 0.56030475, 0.6469305],
        [0.75, 0.116146, 0.220838],
        [0.25, 0.616162, 0.27917],
        [0.75, 0.383853, 0.720838],
        [0.25, 0.883839, 0.77917],
        [0.75, 0.68370025, 0.981458],
        [0.25, 0.18371125, 0.51856],
        [0.75, 0.81630075, 0.481458],
        [0.25, 0.31629075, 0.01856],
    ]
    return Atoms("Fe4O4F4", cell=cell, scaled_positions=frac, pbc=True)


def centred() -> Atoms:
    """NdMnFeGe2 in a skewed primitive cell, exactly symmetric."""
    cell = [[5.18693664, -0.36626237, 0], [2.71372007, 4.43555896, 0], [-3.95032836, -2.03464829, 2.70066141]]
    frac = [[0, 0, 0], [0.25, 0.75, 0.5], [0.75, 0.25, 0.5], [0.8487365, 0.8487365, 0], [0.1512635, 0.1512635, 0]]
    return Atoms("NdMnFeGe2", cell=cell, scaled_positions=frac, pbc=True)
