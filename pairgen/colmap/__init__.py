"""COLMAP behind one door: the adapter, its database and its model files."""
