"""A sweep from its first duel to its last: sessions, resuming, progress, and who measures."""
