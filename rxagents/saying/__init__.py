"""What there is to say, made into one flat conversation, and its order."""
