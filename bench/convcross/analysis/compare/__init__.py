"""Two results files held against each other, cell by cell."""
