"""Checkpoints: who they are, how they are loaded, how an adapter is folded in."""
