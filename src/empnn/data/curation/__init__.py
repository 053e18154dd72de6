"""Crystals compared with each other."""
