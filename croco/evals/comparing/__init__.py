"""Base against tuned, run against run: paired differences over what is stored."""
