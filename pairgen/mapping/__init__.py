"""From verified matches to 3D models, and what photos of a model share."""
