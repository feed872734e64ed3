from kit import *

# Six slices that all bear the position of the first, as some archives write them; the acquisition
# number counts the slices. And six phases of one slice, told by their trigger times.
fresh()
for n in range(6):
    px = (texture(n) + 1224).astype(np.uint16)
    write(slice_(n, 0.0, px, cls=MR, modality="MR", slope=None, acq=n + 1), DATA / "slices" / f"im{n}.dcm")
    ds = slice_(n, 0.0, px, cls=MR, modality="MR", slope=None, patient="P2", study=2)
    ds.TriggerTime = 40 * n
    write(ds, DATA / "phases" / f"im{n}.dcm")
