"""`empnn` where others are used: adapters for ASE, pymatgen, jobflow with atomate2, and matcalc.

Each is a module of its own (`empnn.integrations.ase` and so on) and needs its package only when it is imported.
"""
