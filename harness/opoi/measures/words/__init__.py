"""How near texts of an arm are to those of its base: divergences, new words, clusters, each with its null."""
