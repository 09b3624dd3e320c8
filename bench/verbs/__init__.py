"""The verbs that measure, which join the command line through entry points."""
