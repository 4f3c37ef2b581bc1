"""Data sets: each file reads one kind of data set into ``ReIDData``, by one verb, ``read(root)``.

Reading opens no image and writes nothing; nothing is ever downloaded. A name, label or table that is not understood is
a ``DataError`` in the user's words, never a guess.
"""

from snreid.datasets._rules import (
    drop_singles,
    has_match,
    require_name,
    require_pairs,
    require_queries,
    validated,
)
from snreid.datasets.all_images import AllImages
from snreid.datasets.check import DataReport, SplitReport, check
from snreid.datasets.cuhk03 import CUHK03
from snreid.datasets.folder import FolderTree
from snreid.datasets.labels import Labels
from snreid.datasets.market1501 import Market1501, MarketFormat
from snreid.datasets.synthetic import DrawnImage, DrawnPedestrians
from snreid.datasets.table import Columns, Table

__all__ = [
    "CUHK03",
    "AllImages",
    "Columns",
    "DataReport",
    "DrawnImage",
    "DrawnPedestrians",
    "FolderTree",
    "Labels",
    "Market1501",
    "MarketFormat",
    "SplitReport",
    "Table",
    "check",
    "drop_singles",
    "has_match",
    "require_name",
    "require_pairs",
    "require_queries",
    "validated",
]
