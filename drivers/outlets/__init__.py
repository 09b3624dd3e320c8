"""Where decisions go besides the beam line."""
