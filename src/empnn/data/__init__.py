"""Reading, writing and caching crystals, and the benchmark sets."""
