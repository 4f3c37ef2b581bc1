from .optim import SGD as SGD
from .optim import Adam as Adam
from .optim import AdamW as AdamW
from .optim import WarmupCosine as WarmupCosine
from .optim import WarmupHalving as WarmupHalving
from .optim import WarmupSteps as WarmupSteps
from .sampling import Sampling as Sampling
from .training_set import Validation as Validation

__all__: list[str]
