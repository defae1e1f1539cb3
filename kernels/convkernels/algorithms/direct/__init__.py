"""The defining sum, O(n²N²), whatever computes it."""
