"""The demonstration: a photograph blurred and searched, and algorithms timed on it."""
