"""What is asked: sweeps as TOML, their problems and data, and the contenders that meet on each."""
