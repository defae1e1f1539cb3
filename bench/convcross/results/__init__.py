"""The results file: its schema, its reader and its only writer."""
