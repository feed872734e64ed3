from kit import *

# MR parametric maps (T1 in ms) as Float Pixel Data and Double Float Pixel Data, multi-frame.
from pydicom.uid import generate_uid
fresh()
want = {}
for key, dt, bits in (("float", "<f4", 32), ("double", "<f8", 64)):
    ds = slice_(0, 0.0, texture(0), cls="1.2.840.10008.5.1.4.1.1.30", modality="MR", slope=None, study=3 if bits == 32 else 4, patient=key)
    del ds.PixelData, ds.PixelRepresentation, ds.BitsStored, ds.HighBit, ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing, ds.SliceThickness
    ds.BitsAllocated = bits
    ds.NumberOfFrames = 5
    ds.ImageType = ["DERIVED", "PRIMARY", "QUANTITY", "T1"]
    vol = np.array([texture(n) * 1.25 + 1400.5 for n in range(5)])
    sh = Dataset()
    o = Dataset(); o.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]; sh.PlaneOrientationSequence = Sequence([o])
    m = Dataset(); m.PixelSpacing = [2, 2]; m.SliceThickness = 3; sh.PixelMeasuresSequence = Sequence([m])
    ds.SharedFunctionalGroupsSequence = Sequence([sh])
    ds.PerFrameFunctionalGroupsSequence = Sequence()
    for n in range(5):
        g = Dataset(); p = Dataset(); p.ImagePositionPatient = [-16, -12, 3.0 * n]; g.PlanePositionSequence = Sequence([p]); ds.PerFrameFunctionalGroupsSequence.append(g)
    if bits == 32: ds.FloatPixelData = vol.astype(dt).tobytes()
    else: ds.DoubleFloatPixelData = vol.astype(dt).tobytes()
    write(ds, DATA / key / "map.dcm")
    ds.ImagePositionPatient = [-16, -12, 0.0]
    rtstruct(DATA / key / "rs.dcm", [ds], [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])], series=70 + bits)
    want[key] = dict(image=vol.astype(dt).astype(float), affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(vol.shape, 4, 9, 3, 7, [1, 2, 3])})
expect(**want)
