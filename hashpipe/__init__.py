"""Unlabelled photos to compact binary codes that find the same place again, with a score that can be trusted."""
