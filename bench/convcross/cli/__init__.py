"""The command line: one file a group of commands; it reads arguments and prints."""
