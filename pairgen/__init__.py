"""Photos to 3D models to similar and dissimilar pairs. Knows nothing of torch."""
