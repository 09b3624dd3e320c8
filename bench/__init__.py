"""Benchmarks, their peers and their budgets."""
