from kit import *

# Cardiac cine MR, classic: 4 slices x 3 phases in one series; the heart rate drifts, so each slice
# has trigger times of its own; AcquisitionTime is that of the slice (all its phases are one
# breath-hold). Right: 3 volumes of 4 slices, by the order of TriggerTime at each position (as the
# standard means it: time from the R peak), or a refusal.
fresh()
made, volumes = [], [[], [], []]
n = 0
for s in range(4):
    for p in range(3):
        px = (texture(s) + 1300 + 100 * p).astype(np.uint16)
        ds = slice_(n, 8.0 * s, px, cls=MR, modality="MR", slope=None, thickness=8.0)
        ds.AcquisitionTime = f"1015{10 + s:02d}.00"
        ds.TriggerTime = f"{p * (34.0 + 0.7 * s) + 1.5:.2f}"
        ds.NominalInterval = 1000 + 20 * s
        write(ds, DATA / f"im{n:03d}.dcm"); made.append(ds); volumes[p].append(px); n += 1
# The contours are drawn on the second phase (end of systole).
first = [made[3 * s + 1] for s in range(4)]
rtstruct(DATA / "rs.dcm", first, [(1, "lv", [("CLOSED_PLANAR", px_square(4 + s, 9 + s, 3, 7, 8.0 * s)) for s in range(4)])])
m = np.zeros((4, 12, 16), bool)
for s in range(4): m |= box(m.shape, 4 + s, 9 + s, 3, 7, [s])
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 8])
expect(phase1=dict(image=volumes[0], affine=A), phase2=dict(image=volumes[1], affine=A, labels={"lv": m}), phase3=dict(image=volumes[2], affine=A))
