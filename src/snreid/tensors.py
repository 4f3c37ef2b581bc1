"""Names of tensor shapes, so that a signature says what goes in and out.

The tests switch on a runtime check of these types (jaxtyping with beartype); the library itself never checks at run time,
because a decorator would break ``torch.compile`` with ``fullgraph=True``.
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
"""What a person is compared by."""
Logits = Float[Tensor, "batch persons"]
"""Classifier scores over the training identities."""
PersonIds = Int64[Tensor, "batch"]
"""Index of the identity in the joint training identity space."""
Scalar = Float[Tensor, ""]
"""A loss."""
