"""How sure every reported interval and verdict is."""

from __future__ import annotations

CONFIDENCE = 0.95
