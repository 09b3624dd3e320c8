"""Example drivers of a site."""
