"""Pairs from scored answers: what is read, left out, gathered, reported and exchanged; the rule itself is croco.maths.pairing."""
