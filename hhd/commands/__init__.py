"""The commands, one file each: its parser, and the call of what does the work."""
