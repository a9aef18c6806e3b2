"""The stages as functions for programs and notebooks: options as keywords, paths as text."""
