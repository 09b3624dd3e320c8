"""Shadow mode: our decisions beside those of a clinical system, compared; no beam line is ever driven."""
