"""One module per file format: what reads its structures one by one, and what writes them."""
