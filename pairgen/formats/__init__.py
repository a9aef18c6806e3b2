"""Other programs' pairs: cirtorch, hloc, COLMAP, CSV and pytorch-metric-learning, read and written."""
