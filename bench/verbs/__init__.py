"""The verbs that measure: they join the command line by entry points."""
