"""Which photos are matched, and what verifies: features, candidates, rounds, pairs on demand."""
