"""What waits for approval: how a turn is paused, kept, and gone on with."""
