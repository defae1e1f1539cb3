"""Where one contender overtakes another: sides, costs, curves, verdicts and n*."""
