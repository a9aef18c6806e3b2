"""Photos on disk: found, checked, described, turned upright, and as small pictures."""
