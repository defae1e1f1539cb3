"""From results files to curves, tables, crossovers, claims and comparisons."""
