"""Targets: their rules, their gating boundary, and their position in 3D."""
