"""MONAI: the files of a curriculum as a data set."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import monai.data

from ._pdl import Curriculum

if TYPE_CHECKING:
    from ._pdl import _Split


def curriculum_dataset(
    curriculum: Curriculum,
    transform: "Callable[[dict[str, Any]], Any] | None" = None,
    *,
    split: "_Split" = "train",
    dataset: "Callable[..., Any]" = monai.data.Dataset,
    **options: Any,
) -> Any:
    """A data set of dictionaries with `case_id`, `image` and `label`, those of `Curriculum.files`.

    Training cases are in the order of their ranks, as `pdl.torch.CurriculumSampler` expects them. `transform` is MONAI's,
    beginning with `LoadImaged(["image", "label"])`; `dataset` may be another class of MONAI, such as `CacheDataset`, with
    its `options`.
    """
    return dataset(curriculum.files(split), transform, **options)
