"""Two systems answer the same questions, and a judge says question by question which answer is better."""
