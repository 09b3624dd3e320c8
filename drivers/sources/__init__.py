"""Cine sources: one vendor, protocol or recording a file."""
