"""Gates: text is held back, or followed, until a check has passed it. For messages and for models alike."""
