"""What decoding costs: by arithmetic, and by the clock."""
