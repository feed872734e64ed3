"""PyTorch: a sampler that follows the curriculum."""

# Where torch is not installed, pyright takes this file for it.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Iterator, Sequence

import torch
import torch.utils.data

from ._pdl import Curriculum


class CurriculumSampler(torch.utils.data.Sampler[int]):
    """Draws each case that is active at the epoch once.

    The data set holds the training cases in the order of `Curriculum.cases`, or the cases with `case_ids`, in their
    order. Call `set_epoch` before each epoch, as with a `DistributedSampler`. The order of an epoch depends on `seed`
    and the epoch alone, so a training that resumes at an epoch sees what it would have seen. With `shuffle=False` cases
    come in the order of their ranks.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        case_ids: "Sequence[str] | None" = None,
        *,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        ranked = curriculum.cases
        places = {case: place for place, case in enumerate(ranked if case_ids is None else case_ids)}
        missing = [case for case in ranked if case not in places]
        if missing:
            raise ValueError(
                f"invalid case_ids: expected every training case, {len(missing)} are missing, such as {missing[0]!r}"
            )
        self.curriculum = curriculum
        self.shuffle = shuffle
        self.seed = seed
        self.epoch: "int | None" = None
        self._indices = [places[case] for case in ranked]

    def set_epoch(self, epoch: int) -> None:
        """Make the cases active that train at an epoch, counted from 0."""
        self.curriculum.active(epoch)
        self.epoch = epoch

    def _active(self) -> "list[int]":
        if self.epoch is None:
            raise RuntimeError("call set_epoch before the first epoch, and before each of the others")
        return self._indices[: len(self.curriculum.active(self.epoch))]

    def __len__(self) -> int:
        return len(self._active())

    def __iter__(self) -> "Iterator[int]":
        active = self._active()
        if not self.shuffle:
            return iter(active)
        generator = torch.Generator()
        generator.manual_seed(self.seed + (self.epoch or 0))
        order = torch.randperm(len(active), generator=generator)
        return iter([active[place] for place in order.tolist()])
