"""Search with a trained run: embed (`embedder`), index, find, export, show (`panel`)."""
