from kit import *

# A SEG of one frame whose place, segment and origin stand in the shared functional groups; there
# are no groups of the frame.
fresh()
made, volume = ct_series(DATA, range(0, 18, 3))
seg = Dataset()
for source in ("StudyInstanceUID", "PatientID", "PatientName", "FrameOfReferenceUID"): setattr(seg, source, getattr(made[0], source))
seg.SOPClassUID, seg.SOPInstanceUID, seg.SeriesInstanceUID, seg.Modality = "1.2.840.10008.5.1.4.1.1.66.4", uid(5, 5), uid(5, 6), "SEG"
seg.SegmentationType, seg.NumberOfFrames, seg.Rows, seg.Columns = "BINARY", 1, 12, 16
seg.BitsAllocated, seg.BitsStored, seg.HighBit, seg.PixelRepresentation, seg.SamplesPerPixel, seg.PhotometricInterpretation = 1, 1, 0, 0, 1, "MONOCHROME2"
segment, place, plane, measures, of, shared, series = (Dataset() for _ in range(7))
segment.SegmentNumber, segment.SegmentLabel, of.ReferencedSegmentNumber = 1, "liver", 1
place.ImagePositionPatient, plane.ImageOrientationPatient = [-16, -12, 6.0], [1, 0, 0, 0, 1, 0]
measures.PixelSpacing, measures.SliceThickness = [2, 2], 3
series.SeriesInstanceUID = made[0].SeriesInstanceUID
shared.PlanePositionSequence, shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([place]), Sequence([plane]), Sequence([measures])
shared.SegmentIdentificationSequence = Sequence([of])
seg.SegmentSequence, seg.SharedFunctionalGroupsSequence, seg.ReferencedSeriesSequence = Sequence([segment]), Sequence([shared]), Sequence([series])
mask = box(volume.shape, 4, 9, 3, 7, [2])
seg.PixelData = np.packbits(mask[2].reshape(-1).astype(np.uint8), bitorder="little").tobytes()
write(seg, DATA / "seg.dcm")
expect(a=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": mask}))
