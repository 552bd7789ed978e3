"""How fast slides become patches, beside the decoder's limit and other tools: `make benchmark-tiling`."""
