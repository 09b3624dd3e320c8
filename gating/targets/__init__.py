"""Is the target inside? Targets, their rules, their boundary, their position in 3D."""
