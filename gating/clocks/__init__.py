"""Clocks of this host, and foreign clocks put on one of ours."""
