"""Machines that follow a target, simulated: a multileaf collimator and a couch, consumers of the position stream."""
