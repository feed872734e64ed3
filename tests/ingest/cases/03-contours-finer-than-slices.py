from kit import *

# A structure set drawn on 1 mm planes (a high-resolution structure) of a 3 mm series: three
# contours a slice; and a second structure on 1.5 mm planes: two contours a slice. Both are boxes,
# so the mask must be the box on each slice.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9, 12])
fine = [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in np.arange(2.0, 10.01, 1.0)]
half = [("CLOSED_PLANAR", px_square(11, 14, 3, 7, z)) for z in np.arange(3.0, 9.01, 1.5)]
tenth = [("CLOSED_PLANAR", px_square(1, 2, 3, 7, z)) for z in np.arange(3.0, 9.01, 0.6)]
# A pyramid: on every millimetre a square that is a pixel smaller on each side; on the slices
# themselves 3 <= k <= 9.
cone = [("CLOSED_PLANAR", px_square(1 + k, 14 - k, 0 + k, 11 - k, z)) for k, z in enumerate(np.arange(4.0, 9.01, 1.0))]
rtstruct(DATA / "rs.dcm", made, [(1, "fine", fine), (2, "half", half), (3, "tenth", tenth)], per_contour=False)
rtstruct(DATA / "rs.dcm", made, [(1, "fine", fine), (2, "half", half), (3, "tenth", tenth)])
shutil.copytree(DATA, HERE / "data-pyramid", dirs_exist_ok=True)
rtstruct(HERE / "data-pyramid" / "rs.dcm", made, [(1, "pyramid", cone)])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]),
                labels={"fine": box(volume.shape, 4, 9, 3, 7, [1, 2, 3]), "half": box(volume.shape, 11, 14, 3, 7, [1, 2, 3]),
                        "tenth": box(volume.shape, 1, 2, 3, 7, [1, 2, 3])}))
