"""The embedded world: prompts in seven languages, a grader, and three small checkpoints."""

from pathlib import Path

MODELS = Path(__file__).parent / "models"
