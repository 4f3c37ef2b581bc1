"""The public names of the package: the one list of them. ``__init__.py`` loads each when it is first used."""

from . import adaptation as adaptation
from . import datasets as datasets
from . import evaluation as evaluation
from . import images as images
from . import inference as inference
from . import losses as losses
from . import models as models
from . import training as training
from .adaptation import adapt as adapt
from .errors import CheckpointError as CheckpointError
from .errors import DataError as DataError
from .errors import DivergenceError as DivergenceError
from .errors import ExperimentError as ExperimentError
from .errors import Interrupted as Interrupted
from .errors import SnreidError as SnreidError
from .evaluation import compare as compare
from .evaluation import evaluate as evaluate
from .evaluation import read_features as read_features
from .evaluation import write_features as write_features
from .experiments import Experiment as Experiment
from .experiments import Run as Run
from .experiments import load as load
from .experiments import open_run as open_run
from .experiments import recipes as recipes
from .experiments import score as score
from .experiments import train as train
from .inference import Embedder as Embedder
from .models import SNR as SNR
from .models import ModelConfig as ModelConfig
from .models import ReIDModel as ReIDModel
from .records import Features as Features
from .records import Scores as Scores

__version__: str
__all__: list[str]
