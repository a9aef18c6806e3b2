"""A photo to a float descriptor: networks with pooling, VLAD of SIFT, perceptual hash."""
