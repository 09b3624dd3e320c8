"""Latency: stages of a frame, budgets, the published chain, the physical measurement."""
