from kit import *

# Two slabs of slices 36 mm apart in one series: of two acquisitions (patient 1), and of one, so
# that nothing says what they are (patient 2).
fresh()
heights = [0, 3, 6, 9, 45, 48, 51, 54]
def of_two(n, ds): ds.AcquisitionNumber = 1 + n // 4
made, volume = ct_series(DATA / "1", heights, edit=of_two)
rtstruct(DATA / "1" / "rs.dcm", made[:4], [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])])
ct_series(DATA / "2", heights, patient="P2", study=2)
step = dict(spacing=(2, 2), step=[0, 0, 3])
expect(lower=dict(image=volume[:4], affine=lps_affine((-16, -12, 0), **step), labels={"liver": box((4, 12, 16), 4, 9, 3, 7, [1, 2])}),
       upper=dict(image=volume[4:], affine=lps_affine((-16, -12, 45), **step)))
