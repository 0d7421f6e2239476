"""Any OpenAI-compatible server as a model.

From the model down to the network:

- `model`: messages and tools in, a reply out.
- `dialect`, `textcalls`, `toolcalls`: how requests to one server are written and its answers read.
- `lines`: what all lines have in common; `line`: the one over HTTP, with patience for what passes.
- `limiter`, `pace`, `patience`, `streams`, `bounds`, `faults`, `hiding`: its parts.

Beside them `probe` finds out with a few cheap questions what a server can do (`capabilities`), and `scoring`
asks for the log-probabilities of given texts.
"""
