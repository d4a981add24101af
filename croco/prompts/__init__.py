"""From anybody's data to prompts: reading, filtering, sampling, translating."""
