"""What a token costs, as ratios against the bare `openai` client in the same run."""
