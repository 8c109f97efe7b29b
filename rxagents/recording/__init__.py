"""Runs and models' answers written to files, without what is secret."""
