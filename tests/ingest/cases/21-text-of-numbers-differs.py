from kit import *

# An MR series whose first file writes its numbers otherwise (EchoTime 4.200000 for 4.2), as an
# archive re-wrote it. One volume.
fresh()
made, volume = [], []
for n in range(6):
    px = (texture(n) + 1300).astype(np.uint16)
    ds = slice_(n, 3.0 * n, px, cls=MR, modality="MR", slope=None)
    ds.EchoTime = "4.200000" if n == 0 else "4.2"
    ds.RepetitionTime = "500"
    write(ds, DATA / f"im{n}.dcm"); made.append(ds); volume.append(px)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box((6, 12, 16), 4, 9, 3, 7, [1, 2, 3])}))
