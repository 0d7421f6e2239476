"""A server that misbehaves by a seeded plan: what spoils which answer, and how, over real sockets."""
