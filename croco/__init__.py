"""CroCo: preference optimisation across languages from English preferences alone (arXiv 2605.26293)."""

__version__ = "0.1.0"
