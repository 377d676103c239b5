"""What every stage shares and no result depends on: paths, jobs, locks, fingerprints, records."""
