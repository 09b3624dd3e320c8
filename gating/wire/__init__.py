"""Messages as bytes, bounded sockets, and who may connect."""
