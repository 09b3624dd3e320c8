"""What can be set, as data: every setting once, with its unit, range, default and source."""
