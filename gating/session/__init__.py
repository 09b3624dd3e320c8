"""Session logs: written, sealed, checked and read."""
