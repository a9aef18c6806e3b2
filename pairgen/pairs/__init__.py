"""The rules for pairs, the splits, and the PairSet on disk."""
