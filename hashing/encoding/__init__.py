"""Photos and a model to codes: runtimes, shards, restarts."""
