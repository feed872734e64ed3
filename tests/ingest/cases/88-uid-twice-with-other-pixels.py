from kit import *
import copy

# One image is there twice under one SOPInstanceUID, with other pixels: which of the two is right
# nobody knows. And a copy that is one.
fresh()
for name in ("other", "copy"):
    made, volume = ct_series(DATA / name, range(0, 18, 3), patient=name, study=len(name))
    again = copy.deepcopy(made[2])
    if name == "other":
        again.PixelData = (texture(2) + 2000).astype("<u2").tobytes()
    write(again, DATA / name / "again.dcm")
    rtstruct(DATA / name / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])], series=50 + len(name))
expect(copy=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2])}))
