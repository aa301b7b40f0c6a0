"""Programs that run inside a machine, with the Python of its Debian and nothing of ours."""
