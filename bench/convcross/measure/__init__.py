"""One duel measured: prepared, verified, timed in its phases, and observed."""
