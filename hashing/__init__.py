"""Pairs and descriptors to binary codes and their score. Knows nothing of COLMAP."""
