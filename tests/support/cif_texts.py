"""CIF files as they occur, as text."""

P1 = """# generated using pymatgen
data_CsZrNO2
_symmetry_space_group_name_H-M   'P 1'
_cell_length_a   4.42319582
_cell_length_b   4.62319582
_cell_length_c   4.82319583
_cell_angle_alpha   91.00000000
_cell_angle_beta   89.00000000
_cell_angle_gamma   97.50000000
_symmetry_Int_Tables_number   1
_chemical_formula_structural   CsZrNO2
_chemical_formula_sum   'Cs1 Zr1 N1 O2'
_cell_volume   86.5
_cell_formula_units_Z   1
loop_
 _symmetry_equiv_pos_site_id
 _symmetry_equiv_pos_as_xyz
  1  'x, y, z'
loop_
 _atom_site_type_symbol
 _atom_site_label
 _atom_site_symmetry_multiplicity
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 _atom_site_occupancy
  Cs  Cs0  1  0.99000000  0.01000000  0.00000000  1
  Zr  Zr1  1  0.50000000  0.50000000  0.51000000  1
  N  N2  1  0.00000000  0.52000000  0.50000000  1
  O  O3  1  0.50000000  -0.03000000  0.50000000  1
  O  O4  1  0.50000000  0.50000000  1.04000000  1
"""

BY_SYMBOL = """data_NaCl
_cell_length_a 5.6402(3)
_cell_length_b 5.6402(3)
_cell_length_c 5.6402(3)
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na+ 0 0 0 1
Cl1 Cl- 0.5 0.5 0.5 1.
"""

BY_OPERATORS = """data_quartz
_publ_section_title
;
 A title over lines,
 and 'quotes'
;
_publ_author_name "O'Neil, \\"A.\\""
_cell_length_a 4.913
_cell_length_b 4.913
_cell_length_c 5.405
_cell_angle_alpha 90.
_cell_angle_beta 90.
_cell_angle_gamma 120.
_symmetry_space_group_name_H-M 'P 32 2 1'
loop_
_symmetry_equiv_pos_as_xyz
 'x, y, z'
 '-y, x-y, z+2/3'
 '-x+y, -x, z+1/3'
 'y, x, -z'
 'x-y, -y, -z+1/3'
 '-x, -x+y, -z+2/3'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Si1 0.4697 0.0000 0.0000
O1 0.4133 0.2672 0.1188
"""

DEUTERIUM = """data_ice
_cell_length_a 4.1
_cell_length_b 4.2
_cell_length_c 4.3
_cell_angle_alpha 80
_cell_angle_beta 95
_cell_angle_gamma 100
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
D1 D 0.1 0.2 0.3
'D2' 'D' 0.3 0.5 0.1
O1 O2- 0.12 0.45 0.2
"""

MAGNETIC = """data_made_up
_parent_space_group.name_H-M_alt "P 4 2 2"
_space_group_magn.name_BNS "C_P 2'"
_cell_length_a 4.8736
_cell_length_b 4.8736
_cell_length_c 6.62
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
loop_
_space_group_symop_magn_operation.id
_space_group_symop_magn_operation.xyz
1 x,y,z,+1
2 -x,-y,z+1/4,-1
3 -x,-y,-z,+1
4 x,y,-z-1/4,-1
loop_
_space_group_symop_magn_centering.id
_space_group_symop_magn_centering.xyz
1 x,y,z,+1
2 x+1/2,y+1/2,z+1/2,-1
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Mn1 Mn 0.1 0.2 0 1
F1 F 0.30443 0.30443 0.125 1
loop_
_atom_site_moment.label
_atom_site_moment.crystalaxis_x
_atom_site_moment.crystalaxis_y
_atom_site_moment.crystalaxis_z
Mn1 1.5 0.5 4.6(1)
"""


def with_value(text: str, tag: str, value: str) -> str:
    """The CIF with another value behind a tag."""
    lines = [f"{tag} {value}" if line.split(maxsplit=1)[:1] == [tag] else line for line in text.splitlines()]
    return "\n".join(lines) + "\n"


SITE = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
CELL = tuple(f"_cell_{tag}" for tag in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"))


def sites(*rows: str, columns: tuple[str, ...] = SITE, group: str | None = "P 1", before: str = "") -> str:
    """A cubic crystal of these sites, 4.2 angstrom wide, with something more before them."""
    cell = zip(CELL, ("4.2", "4.2", "4.2", "90", "90", "90"), strict=True)
    named = [] if group is None else [f"_symmetry_space_group_name_H-M '{group}'"]
    head = ["data_made_up", *(" ".join(pair) for pair in cell), *named]
    loop = ["loop_", *(f"_atom_site_{column}" for column in columns), *rows]
    return "\n".join(head) + "\n" + before + "\n".join(loop) + "\n"
