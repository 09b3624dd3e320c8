"""Latency: stages of a frame, their budgets, the chain from published figures, and the physical measurement."""
