"""The sentences of the theory, each judged on the results."""
