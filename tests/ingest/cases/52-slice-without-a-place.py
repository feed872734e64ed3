from kit import *

# One slice of eight lacks ImagePositionPatient; one has it as "-16\-12" (two numbers).
fresh()
def edit(n, ds):
    if n == 3: del ds.ImagePositionPatient
    if n == 5: ds.ImagePositionPatient = [-16, -12]
import warnings; warnings.filterwarnings("ignore")
made = []
for n in range(8):
    ds = slice_(n, 3.0 * n, (texture(n) + 1224).astype(np.uint16)); import copy; ref = copy.deepcopy(ds); edit(n, ds); write(ds, DATA / f"im{n}.dcm"); made.append(ref)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (2, 3, 4)])])
