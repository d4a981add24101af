"""A text: its token ids, its language, its repetition."""
