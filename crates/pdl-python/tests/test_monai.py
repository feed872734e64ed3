"""The curriculum as a data set of MONAI."""

import numpy
import pytest

import pdl

monai = pytest.importorskip("monai")


def test_the_data_set_holds_the_training_cases_in_the_order_of_the_ranks(curriculum, cohort) -> None:
    import torch

    import pdl.monai
    from pdl.torch import CurriculumSampler

    load = monai.transforms.LoadImaged(["image", "label"], image_only=True)
    dataset = pdl.monai.curriculum_dataset(curriculum, load)
    assert isinstance(dataset, monai.data.Dataset) and len(dataset) == 18
    first = dataset[0]
    assert first["case_id"] == curriculum.cases[0]
    numpy.testing.assert_array_equal(numpy.asarray(first["image"]).T, cohort.image(first["case_id"]))
    sampler = CurriculumSampler(curriculum)
    sampler.set_epoch(10)
    loader = torch.utils.data.DataLoader(dataset, sampler=sampler, collate_fn=lambda batch: batch[0]["case_id"])
    assert sorted(loader) == sorted(curriculum.active(10))
    cached = pdl.monai.curriculum_dataset(curriculum, load, split="val", dataset=monai.data.CacheDataset, cache_rate=0.0)
    assert len(cached) == len(curriculum.files("val"))
