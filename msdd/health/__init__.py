"""What `msdd doctor` says: whether a machine has what these params need, and what to do."""
