from . import recipes as recipes
from .experiment import Experiment as Experiment
from .runs import Run as Run
from .runs import load as load
from .runs import open_run as open_run

__all__: list[str]
