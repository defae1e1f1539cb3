"""Minimal filtering: tiles multiplied at points, by transforms of small rational matrices."""
