"""Running a model's Python programs: limits, guarded processes, directories, and the agent."""
