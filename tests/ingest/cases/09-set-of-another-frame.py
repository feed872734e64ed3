from kit import *

# The structure set names the images, but its frame of reference is another one (the patient was
# moved).
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9])
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3, 6)])], frame=uid(77, 555))
