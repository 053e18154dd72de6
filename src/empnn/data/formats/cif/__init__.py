"""CIF: data blocks read and written, their sites, symmetry and names, and a quick way for plain ones."""

from empnn.data.formats.cif.crystals import atoms_from_text, entries, entries_of_text
from empnn.data.formats.cif.writing import losses, named_text_from_atoms, text_from_atoms

__all__ = ["atoms_from_text", "entries", "entries_of_text", "losses", "named_text_from_atoms", "text_from_atoms"]
