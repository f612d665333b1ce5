"""Fields on disk: readers with one protocol, time pairs, normalisation, writers."""
