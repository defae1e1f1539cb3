"""What others have: their times as a results file, their layers as a sweep."""
