from kit import *

# Slices every 0.625 mm whose positions an archive rounded to 0.1 mm: 0, 0.6, 1.2, 1.9 ... They are
# even, and nothing is to be resampled.
fresh()
heights = [round(0.625 * n, 1) for n in range(20)]
made, volume = ct_series(DATA, heights, thickness=0.625)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, heights[n])) for n in (4, 5)])])
expect(a=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, heights[-1] / 19]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [4, 5])}))
