from kit import *

# Two slices of FloatPixelData are there twice under other UIDs, voxel for voxel.
fresh()
made, volume = [], []
for n in range(6):
    values = (texture(n) / 7).astype("<f4")
    for copy in range(2 if n in (2, 3) else 1):
        ds = slice_(n, 3.0 * n, (texture(n) + 1224).astype(np.uint16), intercept=0, instance=uid(1, 1, 1000 + n + 100 * copy))
        for tag in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"): delattr(ds, tag)
        ds.BitsAllocated, ds.FloatPixelData, ds.InstanceNumber = 32, values.tobytes(), n + 1 + 100 * copy
        write(ds, DATA / f"im{n}{copy}.dcm")
        if copy == 0:
            made.append(ds), volume.append(values)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])])
expect(a=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box((6, 12, 16), 4, 9, 3, 7, [1, 2])}))
