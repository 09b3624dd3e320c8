"""Session logs: writing, sealing, checking and reading them."""
