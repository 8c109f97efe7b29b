"""Running the tool calls of a turn: side by side, early, or once they are approved."""
