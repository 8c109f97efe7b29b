"""What of a conversation a model reads, and how its answer enters it."""
