"""What stages tell MLflow: spooled to disk by a run, delivered by another process."""
