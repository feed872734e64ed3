from kit import *

# Contours 0.134 mm off the slices.
fresh()
made, volume = ct_series(DATA, [-102, -99, -96, -93])
rtstruct(DATA / "rs.dcm", made, [(1, "heart", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z - 0.134)) for z in (-99, -96)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, -102), (2, 2), step=[0, 0, 3]),
                labels={"heart": box(volume.shape, 4, 9, 3, 7, [1, 2])}))
