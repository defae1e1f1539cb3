"""Patches as a matrix, and one matrix product."""
