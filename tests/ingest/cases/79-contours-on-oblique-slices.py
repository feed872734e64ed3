from kit import *

# MR slices turned by 20 degrees about x, contours on their own planes.
fresh()
s, k = float(np.sin(np.radians(20))), float(np.cos(np.radians(20)))
iop = (1, 0, 0, 0, k, s)
normal, along = np.array([0, -s, k]), np.array([0, k, s])
made, pixels = [], []
place = lambda n: np.array([-16.0, -12.0, 5.0]) + 3.0 * n * normal
for n in range(6):
    px = (texture(n, low=0) + 100).astype(np.uint16)
    ds = slice_(n, 0.0, px, cls=MR, modality="MR", iop=[f"{v:.9f}" for v in iop], origin=tuple(f"{v:.6f}" for v in place(n)), slope=None)
    write(ds, DATA / f"im{n}.dcm")
    made.append(ds)
    pixels.append(px)
volume = np.array(pixels, np.float64)
point = lambda n, column, row: list(place(n) + 2.0 * column * np.array([1.0, 0, 0]) + 2.0 * row * along)
contour = lambda n: [point(n, 3.5, 2.5), point(n, 9.5, 2.5), point(n, 9.5, 7.5), point(n, 3.5, 7.5)]
def edit(ds):
    for n, c in zip((1, 2, 3), ds.ROIContourSequence[0].ContourSequence):
        c.ContourImageSequence[0].ReferencedSOPInstanceUID = made[n].SOPInstanceUID
rtstruct(DATA / "rs.dcm", made, [(1, "cord", [("CLOSED_PLANAR", contour(n)) for n in (1, 2, 3)])], edit=edit)
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 5), (2, 2), iop, step=list(3.0 * normal)), labels={"cord": box(volume.shape, 4, 9, 3, 7, [1, 2, 3])}))
