from kit import *

# CT whose pixels are numbers of a palette's colours; whose RescaleSlope is 0; whose RescaleSlope is
# negative.
fresh()
def palette(_, ds):
    ds.PhotometricInterpretation = "PALETTE COLOR"
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", bytes(512))
def slope(value):
    def edit(_, ds): ds.RescaleSlope = value
    return edit
for n, edit in enumerate([palette, slope(0), slope(-1)]):
    made, volume = ct_series(DATA / str(n), [0, 3, 6, 9], patient=f"P{n}", study=1 + n, frame=1 + n, edit=edit)
    rtstruct(DATA / str(n) / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])], series=50 + n)
expect(turned=dict(image=-(volume + 1024) - 1024, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2])}))
