"""What a session meant: residual motion, latency in mm, gated against ITV margins, dose proxy, other settings."""
