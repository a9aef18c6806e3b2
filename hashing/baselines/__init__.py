"""Codes without learning: what every result is shown beside."""
