"""The little programs with which others edit YAML: they run with the peers' own Python and node."""
