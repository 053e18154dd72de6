"""What tests and benchmarks share: crystals, small networks, calculators, oracles and the judges of readers."""
