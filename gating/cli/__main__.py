"""`python -m gating.cli`: how one cinegate process starts another."""

from gating.cli import main

main()
