from kit import *

# The iodine map of a spectral CT: Modality CT, values in mg/ml (RescaleType MGML).
fresh()
made, volume = ct_series(DATA, range(0, 18, 3), slope=0.01, intercept=-10, edit=lambda _, ds: setattr(ds, "RescaleType", "MGML"))
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])])
expect(a=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2])}))
