"""LiteLLM and its wrapper as they answer over HTTP. The only HTTP client.

Nothing secret is sent to whom is not seen to be the unit whose port it is.
Doors: `proof.prove`, `readiness.wait_until_ready`, `http.call`.
"""
