from kit import *

# Segmentations whose frames state no geometry, and name the images that they were drawn on: one
# image each of a series, and frames of the second phase of an enhanced object.
fresh()
def item(**attributes):
    made = Dataset()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made
def seg(path, of, frames, mask):
    """`frames` are pairs of the slice and of the attributes by which its image is named."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.66.4", of.SOPInstanceUID + ".66", of.SeriesInstanceUID + ".66"
    for name in ("StudyInstanceUID", "PatientID", "PatientName"):
        setattr(ds, name, getattr(of, name))
    ds.Modality, ds.SegmentationType = "SEG", "BINARY"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 12, 16, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.NumberOfFrames = 1, 1, 0, 0, len(frames)
    ds.SegmentSequence = Sequence([item(SegmentNumber=1, SegmentLabel="liver", SegmentAlgorithmType="MANUAL")])
    ds.SharedFunctionalGroupsSequence = Sequence([item(SegmentIdentificationSequence=Sequence([item(ReferencedSegmentNumber=1)]))])
    source = lambda named: Sequence([item(SourceImageSequence=Sequence([item(**named)]))])
    ds.PerFrameFunctionalGroupsSequence = Sequence([item(DerivationImageSequence=source(named)) for _, named in frames])
    ds.PixelData = np.packbits(np.array([mask[z] for z, _ in frames]).ravel(), bitorder="little").tobytes()
    ds["PixelData"].VR = "OB"
    write(ds, path)
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
refs, volume = ct_series(DATA / "single", [0, 3, 6, 9, 12], cls=MR, modality="MR", slope=None, intercept=0)
mask = box(volume.shape, 4, 9, 3, 7, [1, 2]) | box(volume.shape, 1, 2, 1, 1, [3])
named = lambda z: dict(ReferencedSOPClassUID=MR, ReferencedSOPInstanceUID=refs[z].SOPInstanceUID)
seg(DATA / "single-seg.dcm", refs[0], [(z, named(z)) for z in (3, 1, 2)], mask)
want = dict(single=dict(image=volume, affine=A, labels={"liver": mask}))
MR_ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
order = [(z, phase) for z in (4, 1, 0, 3, 2) for phase in (1, 0)]
phases = [[texture(z) + 1300 + 200 * phase for z in range(5)] for phase in range(2)]
ds = slice_(0, 0.0, phases[0][0].astype(np.uint16), cls=MR_ENHANCED, modality="MR", slope=None, patient="P2", study=2)
for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "AcquisitionNumber"):
    delattr(ds, name)
ds.NumberOfFrames = len(order)
ds.SharedFunctionalGroupsSequence = Sequence([item(PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
    PixelMeasuresSequence=Sequence([item(PixelSpacing=[2, 2], SliceThickness=3)]))])
ds.PerFrameFunctionalGroupsSequence = Sequence([item(PlanePositionSequence=Sequence([item(ImagePositionPatient=[-16, -12, 3.0 * z])]),
    FrameContentSequence=Sequence([item(TemporalPositionIndex=phase + 1)])) for z, phase in order])
ds.PixelData = np.array([phases[phase][z] for z, phase in order]).astype("<u2").tobytes()
write(ds, DATA / "enhanced" / "mr.dcm")
named = lambda z: dict(ReferencedSOPClassUID=MR_ENHANCED, ReferencedSOPInstanceUID=ds.SOPInstanceUID, ReferencedFrameNumber=order.index((z, 1)) + 1)
seg(DATA / "enhanced" / "seg.dcm", ds, [(z, named(z)) for z in (2, 3, 1)], mask)
want |= {f"phase{phase}": dict(image=phases[phase], affine=A, labels={"liver": mask} if phase else {}) for phase in range(2)}
expect(**want)
