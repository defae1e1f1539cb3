"""The figures of a report, one file a kind, and the style that they share."""
