"""Public benchmarks: manifests, readers, downloads; and who searches what on any photos."""
