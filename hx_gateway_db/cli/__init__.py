"""The command line: what can be asked for, and how it is said. Alone prints.

Touches the terminal and nothing else; what a command does, it asks of `wiring` and `checks`.
Door: `parser.main`.
"""
