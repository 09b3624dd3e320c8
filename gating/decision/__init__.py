"""The beam decision: its reasons, its limits, and arming."""
