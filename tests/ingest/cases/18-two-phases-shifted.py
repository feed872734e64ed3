from kit import *

# Two contrast phases in one series (AcquisitionNumber 1 and 2); the table stood 0.4 mm further on
# the second. Each phase covers the whole range with 3 mm steps. Right: two volumes of 6 slices,
# told apart by AcquisitionNumber, never one of 12.
fresh()
a, va = ct_series(DATA / "a", [0, 3, 6, 9, 12, 15], acq=1)
made, vb = [], []
for n in range(6):
    px = (texture(n) + 1224 + 150).astype(np.uint16)
    ds = slice_(100 + n, 3.0 * n + 0.4, px, acq=2); write(ds, DATA / "b" / f"im{n}.dcm"); made.append(ds); vb.append(hu(px))
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k + 0.4)) for k in (1, 2, 3)])])
expect(first=dict(image=va, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])),
       second=dict(image=np.array(vb), affine=lps_affine((-16, -12, 0.4), (2, 2), step=[0, 0, 3]), labels={"liver": box(va.shape, 4, 9, 3, 7, [1, 2, 3])}))
