from kit import *

# A CT without slope and intercept, whose stored values a Modality LUT Sequence maps to HU.
fresh()
def table(_, ds):
    del ds.RescaleSlope, ds.RescaleIntercept
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    item.add_new("LUTData", "OW", np.clip(np.arange(4096) * 2 - 2048, -1024, 3071).astype("<i2").tobytes())
    item.ModalityLUTType = "HU"
    ds.ModalityLUTSequence = Sequence([item])
made, _ = ct_series(DATA, range(0, 18, 3), edit=table)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])])
