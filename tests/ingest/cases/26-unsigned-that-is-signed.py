from kit import *

# A CT whose header says unsigned, 16 bits stored; air and padding were written as negative numbers
# (-1000, -2000), so they read as 64536 and 63536. No reader can know; a curator should say that
# 60,000 HU is no CT.
fresh()
made = []
for n in range(4):
    v = texture(n); v[:2] = -2000; v[-1] = -1000
    ds = slice_(n, 3.0 * n, v.view(np.uint16), slope=1, intercept=0)
    write(ds, DATA / f"im{n}.dcm"); made.append(ds)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2)])])
