"""Data preparation and curricula for medical image segmentation.

`open` reads what the command `pdl curate` made, `similarity` and `ssim` compare arrays, `Curriculum` says which cases
train at which epoch. `pdl.torch` and `pdl.monai` hand it to data loaders, `pdl.samples` holds sample cohorts. Nothing
is sent over the network.
"""

from os import PathLike as _PathLike

from ._pdl import Cohort, Curriculum, Error, MachineError, Table, __version__, similarity, ssim

__all__ = ["Cohort", "Curriculum", "Error", "MachineError", "Table", "__version__", "open", "similarity", "ssim"]


def open(path: "str | _PathLike[str]") -> Cohort:
    """Open a curation folder, which `pdl curate COHORT --out PATH` makes.

    >>> import pdl
    >>> print(pdl.open("out/ct"))
    cases       24 CT usable of 20 patients
    ...
    """
    return Cohort(path)
