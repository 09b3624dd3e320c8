"""Checks of each frame, and what is remembered of the stream."""
