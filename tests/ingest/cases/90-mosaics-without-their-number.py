from kit import *

# A Siemens mosaic whose private elements were removed: nothing says of how many slices it is. And
# frames that were taken out of a mosaic and still bear its name, as XA30 writes them.
fresh()
ds = slice_(0, 0.0, (texture(0, 48, 36) + 1300).astype(np.uint16), cls=MR, modality="MR", slope=None, patient="mosaic")
ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
write(ds, DATA / "mosaic.dcm")
def named(_, ds): ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
_, volume = ct_series(DATA / "frames", range(0, 18, 3), cls=MR, modality="MR", slope=None, intercept=0, patient="frames", study=2, edit=named)
expect(frames=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])))
