from kit import *

# An enhanced MR in two files of three slices each, of which the second is not there, and one that
# is whole.
fresh()
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
want = {}
def item(**attributes):
    made = Dataset()
    for name, value in attributes.items():
        setattr(made, name, value)
    return Sequence([made])
def part(path, number, zs, study):
    pixels = np.array([texture(z) + 1300 + study for z in zs]).astype(np.uint16)
    ds = slice_(number, 0.0, pixels[0], cls="1.2.840.10008.5.1.4.1.1.4.1", modality="MR", slope=None, patient=f"P{study}", study=study, frame=study)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "AcquisitionNumber"):
        delattr(ds, name)
    ds.InstanceNumber, ds.NumberOfFrames = 1, len(zs)
    ds.ConcatenationUID, ds.InConcatenationNumber, ds.InConcatenationTotalNumber = uid(90, study), number, 2
    ds.ConcatenationFrameOffsetNumber = 3 * (number - 1)
    ds.SharedFunctionalGroupsSequence = item(PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]), PixelMeasuresSequence=item(PixelSpacing=[2, 2], SliceThickness=3))
    ds.PerFrameFunctionalGroupsSequence = Sequence([item(PlanePositionSequence=item(ImagePositionPatient=[-16, -12, 3.0 * z]))[0] for z in zs])
    ds.PixelData = pixels.astype("<u2").tobytes()
    write(ds, path)
    return list(pixels)
cut = part(DATA / "cut" / "a.dcm", 1, [0, 1, 2], 1)
whole = part(DATA / "whole" / "a.dcm", 1, [0, 1, 2], 2) + part(DATA / "whole" / "b.dcm", 2, [3, 4, 5], 2)
expect(cut=dict(image=cut, affine=A), whole=dict(image=whole, affine=A))
