from kit import *

# Contours that name no image, and a set that names its series only.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9])
def edit(ds):
    del ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3, 6)])], per_contour=False, edit=edit)
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]),
                labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2])}))
