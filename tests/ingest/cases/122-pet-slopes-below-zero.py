from kit import *

# PET whose slope is below 0, in all slices or in one, and PET without Units.
fresh()
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
want = {}
for p, name in enumerate(["all", "one", "unit"]):
    volume = []
    for n in range(5):
        px = (texture(n, low=0) + 1000 * (p + 1)).astype(np.uint16)
        slope = -0.5 if name == "all" or name == "one" and n == 2 else 0.5
        ds = slice_(n, 3.0 * n, px, cls=PT, modality="PT", patient=f"P{p}", study=p + 1, frame=p + 1, slope=slope, intercept=0)
        if name != "unit":
            ds.Units = "BQML"
        write(ds, DATA / name / f"im{n}.dcm")
        volume.append(px * slope)
    want[name] = dict(image=volume, affine=A)
expect(**want)
