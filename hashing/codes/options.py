"""Bounds on the length of codes. Imports nothing heavy."""

from __future__ import annotations

BITS_MIN, BITS_MAX = 4, 4096
