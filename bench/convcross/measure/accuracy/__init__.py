"""Whether a result is right, and its error against a certified float64 reference."""
