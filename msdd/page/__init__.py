"""All results as one HTML page, and the comparison of two sets of results as another."""
