"""Zero-mean normalised cross-correlation: the matcher and every kernel that is compiled for it."""
