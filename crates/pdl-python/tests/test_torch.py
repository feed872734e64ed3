"""The sampler in PyTorch's own data loader."""

import pytest

import pdl

torch = pytest.importorskip("torch")


@pytest.fixture
def sampler(curriculum: pdl.Curriculum):
    from pdl.torch import CurriculumSampler

    return CurriculumSampler(curriculum, seed=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_draws_each_active_case_once(curriculum, sampler, workers) -> None:
    loader = torch.utils.data.DataLoader(
        curriculum.cases, sampler=sampler, batch_size=3, num_workers=workers, persistent_workers=workers > 0
    )
    orders = []
    for epoch in (0, 1, 9, 10, 45):
        sampler.set_epoch(epoch)
        drawn = [case for batch in loader for case in batch]
        assert sorted(drawn) == sorted(curriculum.active(epoch))
        assert len(loader) == -(-len(drawn) // 3) and len(sampler) == len(drawn)
        orders.append(drawn)
    assert orders[0] != orders[1]  # another order at each epoch


def test_a_resumed_training_sees_what_it_would_have_seen(curriculum, sampler) -> None:
    from pdl.torch import CurriculumSampler

    def drawn(sampler, epochs):
        orders = []
        for epoch in epochs:
            sampler.set_epoch(epoch)
            orders.append(list(sampler))
        return orders

    whole = drawn(sampler, range(30))
    assert drawn(CurriculumSampler(curriculum, seed=3), range(17, 30)) == whole[17:]
    assert drawn(CurriculumSampler(curriculum, seed=4), range(30)) != whole


def test_a_data_set_in_another_order(curriculum) -> None:
    from pdl.torch import CurriculumSampler

    cases = [*sorted(curriculum.cases, reverse=True), "another"]
    sampler = CurriculumSampler(curriculum, cases, shuffle=False)
    sampler.set_epoch(10)
    assert [cases[place] for place in sampler] == curriculum.active(10)
    with pytest.raises(ValueError, match="expected every training case, 1 are missing, such as"):
        CurriculumSampler(curriculum, curriculum.cases[1:])


def test_an_epoch_must_be_set(sampler) -> None:
    with pytest.raises(RuntimeError, match="call set_epoch"):
        list(sampler)
    with pytest.raises(ValueError, match="expected 0 or more"):
        sampler.set_epoch(-1)


def test_volumes_are_loaded_by_workers(curriculum, sampler, cohort) -> None:
    class Volumes(torch.utils.data.Dataset):
        def __getitem__(self, place):
            return cohort.image(curriculum.cases[place]), cohort.label(curriculum.cases[place]).astype("int64")

    sampler.set_epoch(0)
    loader = torch.utils.data.DataLoader(Volumes(), sampler=sampler, num_workers=2)
    cohort.image(curriculum.cases[0])  # the parent's threads have run before the workers are forked
    assert sum(image.shape == label.shape and label.max() == 5 for image, label in loader) == 4
