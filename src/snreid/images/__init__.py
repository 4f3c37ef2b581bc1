"""From files to batches: read and decode images, keep their pixels, augment them and load them in batches."""
