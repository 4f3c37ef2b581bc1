from . import recipes as recipes
from .api import score as score
from .api import train as train
from .experiment import Experiment as Experiment
from .runs import Run as Run
from .runs import load as load
from .runs import open_run as open_run

__all__: list[str]
