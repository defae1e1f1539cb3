"""Every algorithm, one file each, in the room of its family."""
