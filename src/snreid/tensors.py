"""Type aliases for tensor shapes.

The tests check these types at run time (jaxtyping with beartype); the library itself does not, because a decorator would
break ``torch.compile`` with ``fullgraph=True``.
"""

from jaxtyping import Float, Int64
from torch import Tensor

Images = Float[Tensor, "batch 3 height width"]
"""Normalized RGB images."""
Maps = Float[Tensor, "batch channels height width"]
"""Feature maps of a backbone stage."""
ChannelVectors = Float[Tensor, "batch channels"]
"""One value per image and channel: pooled maps, gates."""
Embeddings = Float[Tensor, "batch dim"]
"""Embeddings by which images are compared."""
Logits = Float[Tensor, "batch persons"]
"""Classifier scores over the training identities."""
PersonIds = Int64[Tensor, "batch"]
"""Identities as indices into the joint training identity space."""
Scalar = Float[Tensor, ""]
"""A loss."""
