"""Beam switches and the watchdog that drives them."""
