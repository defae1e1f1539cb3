"""The tables of ``speed-table.py``, a file each, and the rows that they have in common."""
