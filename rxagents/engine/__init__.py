"""Where everything runs: event loops and threads, and the way of an item from one to the other."""
