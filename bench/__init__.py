"""Benchmarks and the fault suite."""
