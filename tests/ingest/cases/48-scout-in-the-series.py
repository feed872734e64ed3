from kit import *

# A sagittal scout in the CT's series, whose ImageType was removed by de-identification; the
# structure set names its series only (contours without images). Right: the scout is no volume with
# labels; the CT gets its mask.
fresh()
made, volume = ct_series(DATA, range(0, 18, 3), edit=lambda n, ds: delattr(ds, "ImageType"))
px = (texture(3, 40, 40) + 1224).astype(np.uint16)
s = slice_(300, 0, px, iop=(0, 1, 0, 0, 0, -1), origin=(0.0, -40.0, 60.0)); del s.ImageType
write(s, DATA / "im900.dcm")
def edit(ds):
    del ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].ContourImageSequence
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])], per_contour=False, edit=edit)
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2, 3])}))
