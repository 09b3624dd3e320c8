"""Carries a structure from a volume to the plane of a cine: registration, its quality and its doubts."""
