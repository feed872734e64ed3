from kit import *

# A CT whose tube current was modulated: XRayTubeCurrent and Exposure differ from slice to slice,
# and acquisition numbers change half way.
fresh()
def edit(n, ds):
    ds.XRayTubeCurrent, ds.Exposure, ds.AcquisitionNumber = 200 + 10 * (n % 3), 14 + n % 2, 1 + n // 4
made, volume = ct_series(DATA, range(0, 24, 3), edit=edit)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (3, 4, 5)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [3, 4, 5])}))
