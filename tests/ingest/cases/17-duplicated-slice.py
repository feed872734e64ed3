from kit import *

# One slice of eight is there twice under another SOPInstanceUID (same pixels, same place); each
# slice has its own AcquisitionTime, as an axial CT has. Right: one volume of 8 slices (the copy
# dropped), or a refusal that names the doubled slice.
fresh()
made, volume = ct_series(DATA, range(0, 24, 3), edit=lambda n, ds: setattr(ds, "AcquisitionTime", f"1015{10 + n:02d}.00"))
twice = pydicom.dcmread(DATA / "im003.dcm")
twice.SOPInstanceUID = uid(1, 1, 2003); twice.AcquisitionTime = "101640.00"; twice.InstanceNumber = 99
write(twice, DATA / "im999.dcm")
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in range(1, 6)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, range(1, 6))}))
