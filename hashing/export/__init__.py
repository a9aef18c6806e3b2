"""Codes and networks for other programs."""
