"""May this frame be trusted? Checks of one frame, and what the stream remembers."""
