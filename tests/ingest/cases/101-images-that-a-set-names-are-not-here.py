from kit import *

# A structure set of six slices; the last is cut short within its header, so that it is not known
# whose it is, and one was not sent.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9, 12, 15])
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])])
(DATA / "im004.dcm").unlink()
(DATA / "im005.dcm").write_bytes((DATA / "im005.dcm").read_bytes()[:300])
expect(one=dict(image=volume[:4], affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box((4, 12, 16), 4, 9, 3, 7, [1, 2])}))
