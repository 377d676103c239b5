"""Tables and figures out of the pipeline's own files."""
