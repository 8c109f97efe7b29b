"""Structured output: types as JSON schemas, and instances while their JSON streams."""
