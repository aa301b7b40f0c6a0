"""What was answered, as values that can't be wrong once they exist. Pure.

Doors: `answers.to_settings`, `values.Settings`, `urls`.
"""
