"""The machine underneath: files, memory, cores, devices, progress bars and provenance. Imports only the vocabulary of the package."""
