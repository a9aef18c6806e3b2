"""Rendered places and the demo photos made of them."""
