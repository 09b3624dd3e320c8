"""Everything that touches a device, a vendor's protocol or a recording."""
