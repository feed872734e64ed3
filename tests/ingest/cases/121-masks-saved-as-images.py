from kit import *

# A mask of a CT as a second series of CT images of its study, 0 and 255, on its grid; a label map
# of the values 0 to 2 and the offset of its CT on some of its slices, without a frame of
# reference; and two images of one study on one grid, of which neither is a mask.
fresh()
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
zs = [0, 3, 6, 9, 12]
_, ct = ct_series(DATA / "ct", zs, series=1)
inside = box(ct.shape, 4, 9, 3, 7, [1, 2])
ct_series(DATA / "mask", zs, series=2, stored=lambda n: (255 * inside[n]).astype(np.uint16), intercept=0)

plain = dict(study=2, patient="P2", frame=2)
values = lambda n: (texture(n) + 1100).astype(np.uint16)
_, low = ct_series(DATA / "low", zs, series=3, stored=values, **plain)
labels = box(low.shape, 2, 5, 3, 7, [1, 2, 3]).astype(np.uint16) + box(low.shape, 7, 9, 3, 7, [2, 3]) * np.uint16(2)
def unplaced(n, ds):
    del ds.FrameOfReferenceUID
ct_series(DATA / "labels", zs[1:4], series=4, stored=lambda n: labels[n + 1], edit=unplaced, **plain)

plain.update(study=3, patient="P3", frame=3)
_, early = ct_series(DATA / "early", zs, series=5, stored=values, **plain)
_, late = ct_series(DATA / "late", zs, series=6, stored=lambda n: 3 * values(n), **plain)
expect(ct=dict(image=ct, affine=A), low=dict(image=low, affine=A), early=dict(image=early, affine=A), late=dict(image=late, affine=A))
