"""Any model as an OpenAI-compatible server on loopback, with the quirks of real ones on request."""
