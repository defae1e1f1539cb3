"""Libraries that people use today. Each declares its family."""
