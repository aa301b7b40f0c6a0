"""Wires a LiteLLM gateway to PostgreSQL and Redis, and takes the wiring away again."""
