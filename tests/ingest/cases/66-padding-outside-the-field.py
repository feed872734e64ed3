from kit import *

# A CT whose corners hold PixelPaddingValue -2000 (as stored), which is no measurement.
fresh()
def stored(n):
    px = texture(n).astype(np.int16)
    px[:2, :3] = px[-2:, -3:] = -2000
    return px
def edit(n, ds):
    ds.add_new(0x00280120, "SS", -2000)
made, volume = ct_series(DATA, range(0, 18, 3), stored=stored, edit=edit, slope=1, intercept=0)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2, 3])}))
