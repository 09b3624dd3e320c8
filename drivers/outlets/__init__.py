"""Outlets: where frames, targets and decisions go besides the beam line."""
