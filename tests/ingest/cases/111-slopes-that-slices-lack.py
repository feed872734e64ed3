from kit import *

# Four CT: one whose fourth slice has no slope and intercept, one whose slopes are written with a
# comma, one whose intercept is NaN, and one whose slices differ in how the numbers are written.
fresh()
def text(tag, value):
    value = value.encode() + b" " * (len(value) % 2)
    def edit(n, ds):
        ds._dict[pydicom.tag.Tag(tag)] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), "DS", len(value), value, 0, False, True)
    return edit
def lacking(n, ds):
    if n == 3:
        del ds.RescaleSlope, ds.RescaleIntercept
zs = [0, 3, 6, 9, 12]
ct_series(DATA / "lacking", zs, edit=lacking, patient="P1", study=1)
ct_series(DATA / "comma", zs, edit=text(0x00281053, "2,0"), patient="P2", study=2)
ct_series(DATA / "nan", zs, edit=text(0x00281052, "NaN"), patient="P3", study=3)
_, volume = ct_series(DATA / "texts", zs, edit=lambda n, ds: setattr(ds, "RescaleIntercept", ("-1024", "-1.024E3", "-1024.0")[n % 3]), patient="P4", study=4)
expect(texts=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])))
