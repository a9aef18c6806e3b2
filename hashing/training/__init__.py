"""Descriptors and pairs to a model: neighbours, batches, objectives, heads, fine-tuning, the course of a run."""
