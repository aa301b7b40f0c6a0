"""A second gateway beside the first: a change is tried on it, and it serves during a restart.

Knows units, files and ports, and nothing of HTTP: whether a second service works is seen by
`gateway`. The only caller of nft.

Doors: `originals.original`, `second_unit.second_unit`, `redirect.put`.
"""
