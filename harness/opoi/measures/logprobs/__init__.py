"""Log-probabilities of tokens: what they add up to, by part of a text, by model and set of texts."""
