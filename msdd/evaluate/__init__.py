"""One road from images and reconstructions to the metrics of every protocol."""
