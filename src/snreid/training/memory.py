"""A memory of one prototype embedding per person, for losses that need prototypes (``Loss.memory``).

The prototypes are a buffer beside the network. So they are saved with each checkpoint, restored when a step is skipped, and
equal in every process. The network inside is unchanged, and only it is saved as the model.
"""

from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional

from snreid.outputs import Outputs, Prototypes
from snreid.tensors import Embeddings, Images, PersonIds
from snreid.training.distributed import ProcessGroup


class Remembering(nn.Module):
    """A network whose outputs carry the prototypes of the N training persons.

    ``network``: images -> ``Outputs``. ``sources``: (N,) source of each person. ``dim``: D of the embedding.
    ``momentum``: share of a prototype that each new image keeps. ``group``: the processes whose embeddings are remembered.
    """

    def __init__(
        self,
        network: nn.Module,
        sources: Int64[Tensor, "persons"],
        dim: int,
        *,
        momentum: float,
        group: ProcessGroup,
    ) -> None:
        super().__init__()
        self.network, self.momentum, self.group = network, momentum, group
        self.register_buffer("prototypes", torch.zeros(len(sources), dim))
        self.register_buffer("sources", sources.clone())
        self.prototypes: Tensor
        self.sources: Tensor

    def forward(self, images: Images) -> Outputs:
        """(B, 3, H, W) -> the network's outputs with the current prototypes."""
        outputs: Outputs = self.network(images)
        # A copy: the backward pass still needs the old prototypes when the new ones are written.
        return replace(outputs, prototypes=Prototypes(vectors=self.prototypes.clone(), sources=self.sources))

    @torch.no_grad()
    def remember(self, embedding: Embeddings, persons: PersonIds) -> None:
        """Updates the prototypes with the (B, D) embeddings of a batch, image by image, over all processes in batch order.

        c becomes momentum c + (1 - momentum) f, L2-normalized, where f is the L2-normalized embedding.
        """
        vectors = _of_all(functional.normalize(embedding.detach().float()), self.group)
        persons = _of_all(persons, self.group)
        # A person's images are applied in sequence; the n-th images of all persons at once.
        same = persons[:, None] == persons[None, :]
        turn = torch.tril(same, diagonal=-1).sum(1)
        for number in range(int(turn.max()) + 1):
            now = turn == number
            mixed = self.momentum * self.prototypes[persons[now]] + (1 - self.momentum) * vectors[now]
            self.prototypes[persons[now]] = functional.normalize(mixed)


def _of_all(mine: Tensor, group: ProcessGroup) -> Tensor:
    """Rows of all processes in rank order; every process has the same number."""
    if group.world == 1:
        return mine
    parts = [torch.empty_like(mine) for _ in range(group.world)]
    torch.distributed.all_gather(parts, mine.contiguous())
    return torch.cat(parts)
