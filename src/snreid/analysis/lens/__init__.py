"""The SNR lens: what normalization removes from images, what is restored, and how far apart cameras remain (docs/lens.md).

``capture`` records feature maps, ``style`` compares cameras, ``neighbours`` analyses embeddings, ``choose`` selects images,
``look`` combines everything into the record that ``snreid.figures.lens_page`` renders.
"""
