"""`python -m cinegate`: how one cinegate process starts another."""

from cinegate.verbs import main

main()
