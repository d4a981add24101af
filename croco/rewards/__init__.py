"""What scores an answer: reward models, functions, judges, implicit rewards, and combinations of these."""
