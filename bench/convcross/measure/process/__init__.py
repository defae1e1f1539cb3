"""The measuring process: what it tells its parent, and what contenders leave behind in it."""
