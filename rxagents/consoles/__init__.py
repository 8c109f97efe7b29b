"""The terminal: lines that are typed, replies that are printed, and Ctrl-C."""
