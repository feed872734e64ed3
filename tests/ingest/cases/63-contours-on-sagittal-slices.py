from kit import *

# A sagittal MR series with contours drawn on its own planes (x is constant in each contour).
fresh()
iop = (0, 1, 0, 0, 0, -1)
made, pixels = [], []
for n in range(6):
    px = (texture(n, low=0) + 100).astype(np.uint16)
    ds = slice_(n, 0.0, px, cls=MR, modality="MR", iop=iop, origin=(4.0 * n - 10, -16.0, 12.0), slope=None, thickness=4.0)
    write(ds, DATA / f"im{n}.dcm")
    made.append(ds)
    pixels.append(px)
volume = np.array(pixels, np.float64)
y, z = (lambda c: -16.0 + 2 * c), (lambda r: 12.0 - 2 * r)
contour = lambda n: [[4.0 * n - 10, a, b] for a, b in ((y(3.5), z(2.5)), (y(9.5), z(2.5)), (y(9.5), z(7.5)), (y(3.5), z(7.5)))]
def edit(ds):
    for n, c in zip((1, 2, 3), ds.ROIContourSequence[0].ContourSequence):
        c.ContourImageSequence[0].ReferencedSOPInstanceUID = made[n].SOPInstanceUID
rtstruct(DATA / "rs.dcm", made, [(1, "cord", [("CLOSED_PLANAR", contour(n)) for n in (1, 2, 3)])], edit=edit)
expect(one=dict(image=volume, affine=lps_affine((-10, -16, 12), (2, 2), iop, step=[4, 0, 0]), labels={"cord": box(volume.shape, 4, 9, 3, 7, [1, 2, 3])}))
