"""Cine sources: one vendor, protocol or kind of recording per file."""
