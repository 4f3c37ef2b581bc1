"""Person re-identification on cameras never seen in training: SNR, its baselines and a fair comparison of them.

Train, score, embed:

    experiment = replace(snreid.recipes.snr("mobile"), sources=(Market1501(),))
    run = snreid.train(experiment, out="runs/snr")
    scores = snreid.score(run, CUHK03())
    embeddings = snreid.load("runs/snr").extract(["a.jpg", "b.jpg"])  # (2, D), rows of length 1

The rest is in sub-packages: ``snreid.datasets``, ``.models``, ``.losses``, ``.images``, ``.training``, ``.evaluation``, ``.inference``
and ``.adaptation``. Names are loaded when they are first used, so ``import snreid`` and the command line start without torch; the list
of names is ``__init__.pyi``.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
