"""CIFs as five programs write them: three that are here, and two in their words."""

import io
import warnings
from collections.abc import Callable

import ase.io
import gemmi
from ase import Atoms
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

_PARAMETERS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_VESTA = """
#======================================================================
# CRYSTAL DATA
#----------------------------------------------------------------------
data_VESTA_phase_1

_chemical_name_common                  ''
{cell}_space_group_name_H-M_alt              'P 1'
_space_group_IT_number                 1

loop_
_space_group_symop_operation_xyz
   'x, y, z'

loop_
   _atom_site_label
   _atom_site_occupancy
   _atom_site_fract_x
   _atom_site_fract_y
   _atom_site_fract_z
   _atom_site_adp_type
   _atom_site_U_iso_or_equiv
   _atom_site_type_symbol
{sites}
"""
_FINDSYM = """# CIF file created by FINDSYM, version 7.1

data_findsym-output
_audit_creation_method FINDSYM

{cell}_symmetry_space_group_name_H-M "P 1"
_symmetry_Int_Tables_number 1

loop_
_space_group_symop_id
_space_group_symop_operation_xyz
1 x,y,z

loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_symmetry_multiplicity
_atom_site_Wyckoff_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}

# end_of_file
"""


def by_ase(atoms: Atoms) -> str:
    """ASE, which calls every block image0."""
    text = io.BytesIO()
    ase.io.write(text, atoms, format="cif")
    return text.getvalue().decode()


def by_pymatgen(atoms: Atoms) -> str:
    """Pymatgen, which calls blocks by their formula and looks for symmetry."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return str(CifWriter(AseAtomsAdaptor.get_structure(atoms), symprec=0.01))


def by_gemmi(atoms: Atoms) -> str:
    """Gemmi, with a name of the block as journals want it."""
    small = gemmi.SmallStructure()
    small.name, small.cell, small.spacegroup_hm = "global", gemmi.UnitCell(*atoms.cell.cellpar()), "P 1"
    for index, (symbol, frac) in enumerate(zip(atoms.symbols, atoms.get_scaled_positions(), strict=True)):
        site = gemmi.SmallStructure.Site()
        site.label, site.type_symbol, site.element = f"{symbol}{index + 1}", symbol, gemmi.Element(symbol)
        site.fract, site.occ = gemmi.Fractional(*frac), 1.0
        small.add_site(site)
    return str(small.make_cif_block().as_string())


def as_vesta(atoms: Atoms) -> str:
    """As VESTA writes: five and six digits."""
    return _filled(_VESTA, atoms, "   {label:<8} 1.0 {x:12.6f} {y:12.6f} {z:12.6f}    Uiso  ? {symbol}")


def as_findsym(atoms: Atoms) -> str:
    """As FINDSYM writes: five digits."""
    return _filled(_FINDSYM, atoms, "{label} {symbol} 1 a {x:.5f} {y:.5f} {z:.5f} 1.00000")


PROGRAMS: dict[str, Callable[[Atoms], str]] = {
    "ase": by_ase,
    "pymatgen": by_pymatgen,
    "gemmi": by_gemmi,
    "vesta": as_vesta,
    "findsym": as_findsym,
}


def _filled(template: str, atoms: Atoms, row: str) -> str:
    sites = [
        row.format(label=f"{symbol}{index + 1}", symbol=symbol, x=x, y=y, z=z)
        for index, (symbol, (x, y, z)) in enumerate(zip(atoms.symbols, atoms.get_scaled_positions(), strict=True))
    ]
    pairs = zip(_PARAMETERS, atoms.cell.cellpar(), strict=True)
    cell = "".join(f"{f'_cell_{name}':<39}{value:.5f}\n" for name, value in pairs)
    return template.format(cell=cell, sites="\n".join(sites))
