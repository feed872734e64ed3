from kit import *

# Numbers of structures are neither consecutive nor in order, and the contours stand in another
# order than the names.
fresh()
made, volume = ct_series(DATA, range(0, 18, 3))
boxes = {"liver": (63, 4, 9, 3, 7), "cord": (2, 1, 2, 1, 2), "spleen": (19, 11, 13, 2, 4)}
rois = [(number, name, [("CLOSED_PLANAR", px_square(c0, c1, r0, r1, 3.0 * k)) for k in (1, 2, 3)]) for name, (number, c0, c1, r0, r1) in boxes.items()]
def edit(ds):
    ds.ROIContourSequence = Sequence([ds.ROIContourSequence[n] for n in (2, 0, 1)])
rtstruct(DATA / "rs.dcm", made, rois, edit=edit)
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={name: box(volume.shape, c0, c1, r0, r1, [1, 2, 3]) for name, (_, c0, c1, r0, r1) in boxes.items()}))
