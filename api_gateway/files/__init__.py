"""Files of results, served from the storage root and from nowhere else."""
