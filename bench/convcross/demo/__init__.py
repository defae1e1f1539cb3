"""The demonstration: a photograph blurred and searched by every algorithm."""
