"""The clocks of this host, and the mapping of foreign clocks to them."""
