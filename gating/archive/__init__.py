"""Sessions as a library: an index of session logs, its queries and trends. The logs stay the truth."""
