"""The SNR lens: what normalization removed from images, what was given back, and how far cameras stay apart (docs/lens.md).

``capture`` looks into the model, ``style`` compares cameras, ``neighbours`` looks at embeddings, ``choose`` takes images,
``look`` puts it all together as the record that ``snreid.figures.lens_page`` renders.
"""
