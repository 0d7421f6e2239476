"""Any OpenAI-compatible server as a model.

- `opoi.models.endpoint.model`: the model: messages and tools in, a reply out.
- `opoi.models.endpoint.dialect`: how requests to one server are written and its answers read.
- `opoi.models.endpoint.line`: one connection: JSON in, bytes out, patience with what fails.
- `opoi.models.endpoint.probe`: what a server can do, found out with a few cheap calls.
"""
