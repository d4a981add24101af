"""Rows on disk: their schemas, their addresses, and how processes share the work on them."""
