from kit import *

# A contour of 11 numbers, which are not three for each point, beside whole ones.
fresh()
refs, volume = ct_series(DATA / "ct", [0, 3, 6, 9, 12])
def edit(ds):
    del ds.ROIContourSequence[0].ContourSequence[2].ContourData[-1]
contours = [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3, 6, 9)]
rtstruct(DATA / "rs.dcm", refs, [(1, "liver", contours)], edit=edit)
mask = box(volume.shape, 4, 9, 3, 7, [1, 2])
expect(case=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": mask}))
