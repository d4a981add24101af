"""How well a reward model ranks: accuracy over preferences, real and made by corruption."""
