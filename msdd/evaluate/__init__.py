"""One road from images and reconstructions to the figures of every protocol."""
