"""The machine underneath: memory, cores, devices, progress bars and provenance. Imports nothing else of the package."""
