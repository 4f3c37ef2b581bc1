"""Data sets: each file has a ``DataSet`` whose ``read(root)`` returns ``ReIDData``.

Reading opens no image, writes nothing and downloads nothing. A name, label or table that cannot be understood raises ``DataError``; nothing
is guessed. The folders that a published data set is looked for in are the ``places`` of its ``read``; the error without it lists them.
"""

from snreid.datasets._rules import (
    drop_singles,
    has_match,
    require_name,
    require_pairs,
    require_queries,
    validated,
)
from snreid.datasets.all_images import AllImages, layers, require_unseen_persons
from snreid.datasets.check import DataReport, SplitReport, check
from snreid.datasets.clonedperson import ClonedPerson
from snreid.datasets.corrupted import Corrupted, CorruptedImage
from snreid.datasets.corruptions import KINDS, SEVERITIES, corrupt
from snreid.datasets.cuhk01 import CUHK01
from snreid.datasets.cuhk02 import CUHK02
from snreid.datasets.cuhk03 import CUHK03
from snreid.datasets.cuhk_sysu import CUHKSYSU
from snreid.datasets.dukemtmc import DukeMTMC
from snreid.datasets.folder import FolderTree
from snreid.datasets.grid import GRID
from snreid.datasets.ilids import ILIDS
from snreid.datasets.labels import Labels
from snreid.datasets.market1501 import Market1501, MarketFormat
from snreid.datasets.msmt17 import MSMT17
from snreid.datasets.pedestrians import DrawnImage, DrawnPedestrians
from snreid.datasets.people import RenderedImage, RenderedPeople
from snreid.datasets.personx import PersonX
from snreid.datasets.prid2011 import PRID2011
from snreid.datasets.randperson import RandPerson
from snreid.datasets.table import Columns, Table
from snreid.datasets.viper import VIPeR

__all__ = [
    "CUHK01",
    "CUHK02",
    "CUHK03",
    "CUHKSYSU",
    "GRID",
    "ILIDS",
    "KINDS",
    "MSMT17",
    "PRID2011",
    "SEVERITIES",
    "AllImages",
    "ClonedPerson",
    "Columns",
    "Corrupted",
    "CorruptedImage",
    "DataReport",
    "DrawnImage",
    "DrawnPedestrians",
    "DukeMTMC",
    "FolderTree",
    "Labels",
    "Market1501",
    "MarketFormat",
    "PersonX",
    "RandPerson",
    "RenderedImage",
    "RenderedPeople",
    "SplitReport",
    "Table",
    "VIPeR",
    "check",
    "corrupt",
    "drop_singles",
    "has_match",
    "layers",
    "require_name",
    "require_pairs",
    "require_queries",
    "require_unseen_persons",
    "validated",
]
