"""Two systems answer, a judge decides: the stages of the arena."""
