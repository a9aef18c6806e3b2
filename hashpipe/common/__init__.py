"""What every room needs: errors, whole-or-absent files, progress, worker processes, memory, guarded pickles."""
