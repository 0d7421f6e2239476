"""Models: endpoints, scripts, a server that offers any model, and how a reference becomes a model.

- `opoi.models.resolve`: from `stand-in`, a URL or `module:attr` to a model.
- `opoi.models.endpoint`: any OpenAI-compatible server, through the official client.
- `opoi.models.session`: what the endpoints of one run share: how to stop, costs, journal, tapes.
- `opoi.models.scripted`: a model that says what a test wants it to say.
- `opoi.models.served`: any model behind an OpenAI-compatible HTTP server on loopback.

Nothing is imported here: `openai` alone costs a second, and only `endpoint.line` needs it.
"""
