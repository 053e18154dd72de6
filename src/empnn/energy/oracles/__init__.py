"""What computes energies: potentials, density functional theory, files for VASP, any ASE calculator."""
