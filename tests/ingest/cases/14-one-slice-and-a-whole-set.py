from kit import *

# A scanner (Canon, classic export) gives each slice a SeriesInstanceUID of its own; the structure
# set names all the images.
fresh()
made, volume = [], []
for n, z in enumerate([0.0, 3.0, 6.0, 9.0, 12.0]):
    px = (texture(n) + 1224).astype(np.uint16)
    ds = slice_(n, z, px, series=f"1.{n + 1}")
    write(ds, DATA / f"im{n}.dcm"); made.append(ds); volume.append(hu(px))
volume = np.array(volume)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4 + k, 9 + k, 3, 7, 3.0 * k)) for k in (1, 2, 3)])])
m = box(volume.shape, 5, 10, 3, 7, [1]) | box(volume.shape, 6, 11, 3, 7, [2]) | box(volume.shape, 7, 12, 3, 7, [3])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": m}))
