"""Processes of this machine in which contenders run, and the blame for those that are lost."""
