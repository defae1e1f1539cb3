"""From records to answers: crossovers, maps of the fastest contender, tables. No measuring."""
