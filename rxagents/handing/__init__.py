"""Handing a task to another agent: for good, by a handoff, or for an answer, as a tool."""
