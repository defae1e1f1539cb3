"""Our timer held against other people's, on the same functions in the same run."""
