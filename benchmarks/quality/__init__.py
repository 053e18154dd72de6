"""How right: what models remove, and whether what is read, kept and claimed is."""
