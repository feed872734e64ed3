from kit import *

# Two series of one study and one frame of reference; a segmentation says which of them it was drawn
# on by Source Image Sequence alone, which it has as a whole and not frame by frame.
fresh()
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
zs = [0, 3, 6, 9, 12]
first, one = ct_series(DATA / "first", zs, series=1)
second, two = ct_series(DATA / "second", zs, series=2, stored=lambda n: (texture(n) + 1300).astype(np.uint16))
mask = box(one.shape, 4, 9, 3, 7, [1, 2])
def item(**attributes):
    made = Dataset()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made
ds = Dataset()
ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.66.4", uid(66, 1), uid(66)
for name in ("StudyInstanceUID", "PatientID", "PatientName", "FrameOfReferenceUID"):
    setattr(ds, name, getattr(second[0], name))
ds.Modality, ds.SegmentationType = "SEG", "BINARY"
ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 12, 16, 1, "MONOCHROME2"
ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.NumberOfFrames = 1, 1, 0, 0, 2
ds.SegmentSequence = Sequence([item(SegmentNumber=1, SegmentLabel="liver", SegmentAlgorithmType="MANUAL")])
ds.SourceImageSequence = Sequence([item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=s.SOPInstanceUID) for s in second])
ds.SharedFunctionalGroupsSequence = Sequence([item(SegmentIdentificationSequence=Sequence([item(ReferencedSegmentNumber=1)]),
    PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
    PixelMeasuresSequence=Sequence([item(PixelSpacing=[2, 2], SliceThickness=3)]))])
ds.PerFrameFunctionalGroupsSequence = Sequence([item(PlanePositionSequence=Sequence([item(ImagePositionPatient=[-16, -12, 3.0 * z])])) for z in (2, 1)])
ds.PixelData = np.packbits(np.array([mask[2], mask[1]]).ravel(), bitorder="little").tobytes()
ds["PixelData"].VR = "OB"
write(ds, DATA / "seg.dcm")
expect(first=dict(image=one, affine=A), second=dict(image=two, affine=A, labels={"liver": mask}))
