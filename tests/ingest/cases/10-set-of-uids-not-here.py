from kit import *

# The images were renamed (hashed UIDs) after the structure set was drawn: no UID of it is here, and
# the frame of reference is another text, too; positions fit.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9])
old = [slice_(n, z, texture(n).astype(np.uint16), study=999, series=999, frame=999) for n, z in enumerate([0, 3, 6, 9])]
rtstruct(DATA / "rs.dcm", old, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3, 6)])])
