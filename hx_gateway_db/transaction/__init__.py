"""File changes that happen all or none, also across a power cut. The only writer of such files.

Files and folders are opened by handle: whoever owns a folder on the way can't lead us elsewhere.
Doors: `transaction.Transaction`, `snapshot.take`, `foreign_file.read`.
"""
