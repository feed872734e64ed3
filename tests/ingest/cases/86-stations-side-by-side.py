from kit import *

# MR of two stations, one series: the second begins where the first ends and lies 8 mm to the left
# of it.
fresh()
made, stations = [], [[], []]
for station in range(2):
    for z in range(5):
        pixels = (texture(z) + 1300 + 200 * station).astype(np.uint16)
        ds = slice_(len(made), 3.0 * z + 15.0 * station, pixels, cls=MR, modality="MR", slope=None, origin=(-16.0 + 8 * station, -12.0))
        write(ds, DATA / f"im{len(made):03d}.dcm")
        made.append(ds), stations[station].append(pixels)
rtstruct(DATA / "rs.dcm", made[:5], [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])])
expect(upper=dict(image=stations[0], affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box((5, 12, 16), 4, 9, 3, 7, [1, 2])}),
       lower=dict(image=stations[1], affine=lps_affine((-8, -12, 15), (2, 2), step=[0, 0, 3])))
