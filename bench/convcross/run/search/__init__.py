"""The search for a crossover: which kernel size to measure next."""
