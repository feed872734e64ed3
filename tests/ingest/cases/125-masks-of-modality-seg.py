from kit import *

# A mask as a series of CT images whose modality is SEG, on the grid of a CT of its study.
fresh()
zs = [0, 3, 6, 9, 12]
_, ct = ct_series(DATA / "ct", zs, series=1)
inside = box(ct.shape, 4, 9, 3, 7, [1, 2])
ct_series(DATA / "mask", zs, series=2, stored=lambda n: (255 * inside[n]).astype(np.uint16), intercept=0, modality="SEG")
expect(ct=dict(image=ct, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])))
