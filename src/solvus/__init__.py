"""Solvus: the deciding half of a self-driving laboratory."""

__version__ = "0.1.0"
