"""Sums over edges and triplets, written for speed; values are those of plain PyTorch."""
