"""Which contender to use for a problem that nobody measured: from a calibration of this machine."""
