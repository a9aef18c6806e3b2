"""Binary codes: packing, thresholds, and the codes file."""
