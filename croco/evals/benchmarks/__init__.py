"""EuroEval, run as a tool of its own in an environment of its own, and its results compared by iteration."""
