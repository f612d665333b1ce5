"""Named tasks: equation, parameters, initial data and saved frames, one file per family."""
