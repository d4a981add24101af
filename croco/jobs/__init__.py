"""One run from configuration to metric, and many of them."""
