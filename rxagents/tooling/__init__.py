"""Functions that a model may call: their schemas, their calls, and what they give."""
