"""Exact metrics of rankings with ties, statistics of bits, intervals."""
