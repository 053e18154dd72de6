"""Sums over edges and triplets and maps of their rows, written for speed; values are those of plain PyTorch."""
