"""The settings as data: each defined once, with its unit, range, default and source."""
