"""Nested choice of the learner's options on places: chosen on some places, scored on others."""
