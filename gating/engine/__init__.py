"""One step: a frame in, a gate command out. No socket, no file, no thread."""
