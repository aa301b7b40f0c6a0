"""Setting and removing keys in YAML text, with every other byte kept and the outcome proven. Pure.

Doors: `edit.ReadText`, `edit.restore`.
"""
