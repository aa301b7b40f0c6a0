"""What was answered, as values that can't be wrong once they exist. Pure.

Doors: `catalogue.ANSWERS` (a row for each), `answers.to_settings`, `values.Settings`, `urls`.
"""
