"""Instruction following that a rule can check: prompts in seven languages, checkers, and their scores."""
