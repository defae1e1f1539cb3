"""Medians, intervals, bootstrap and robust fits. NumPy only, each with its proof."""
