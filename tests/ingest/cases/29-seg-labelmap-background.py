from kit import *

# LABELMAP segmentations (DICOM 2024d): (a) with the background described as segment 0; (b)
# background is segment 3, named by its code (DCM 125040 Background), PixelPaddingValue 3, and gaps
# in the numbers (1 liver, 7 spleen).
import highdicom as hd
from pydicom.sr.coding import Code
from pydicom.sr.codedict import codes
fresh()
def seg_of(made, labelmap, names, path, padding, background):
    """By hand: highdicom numbers from 1 without gaps."""
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.7"; ds.SOPInstanceUID = uid(66, path.parent.name.__hash__() % 9999, 1)
    ds.StudyInstanceUID = made[0].StudyInstanceUID; ds.SeriesInstanceUID = uid(66, made[0].PatientID[-1], 5)
    ds.FrameOfReferenceUID = made[0].FrameOfReferenceUID
    ds.PatientID, ds.PatientName = made[0].PatientID, "Nobody^Test"
    ds.Modality = "SEG"; ds.SegmentationType = "LABELMAP"; ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.ContentDate, ds.ContentTime = "20250101", "120000"
    ds.SamplesPerPixel = 1; ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = labelmap.shape[1:]; ds.NumberOfFrames = len(labelmap)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    if padding is not None: ds.PixelPaddingValue = padding
    ds.SegmentSequence = Sequence()
    for number, name in names.items():
        s = Dataset(); s.SegmentNumber = number; s.SegmentLabel = name; s.SegmentAlgorithmType = "MANUAL"
        c = Dataset(); c.CodeValue, c.CodingSchemeDesignator, c.CodeMeaning = ("125040", "DCM", "Background") if number == background else ("10200004", "SCT", name)
        s.SegmentedPropertyTypeCodeSequence = Sequence([c]); s.SegmentedPropertyCategoryCodeSequence = Sequence([c])
        ds.SegmentSequence.append(s)
    rs = Dataset(); rs.SeriesInstanceUID = made[0].SeriesInstanceUID; rs.ReferencedInstanceSequence = Sequence()
    for m in made:
        i = Dataset(); i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID = m.SOPClassUID, m.SOPInstanceUID; rs.ReferencedInstanceSequence.append(i)
    ds.ReferencedSeriesSequence = Sequence([rs])
    sh = Dataset(); o = Dataset(); o.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]; sh.PlaneOrientationSequence = Sequence([o])
    m = Dataset(); m.PixelSpacing = [2, 2]; m.SliceThickness = 3; m.SpacingBetweenSlices = 3; sh.PixelMeasuresSequence = Sequence([m])
    ds.SharedFunctionalGroupsSequence = Sequence([sh]); ds.PerFrameFunctionalGroupsSequence = Sequence()
    for r in made:
        g = Dataset(); p = Dataset(); p.ImagePositionPatient = r.ImagePositionPatient; g.PlanePositionSequence = Sequence([p]); ds.PerFrameFunctionalGroupsSequence.append(g)
    ds.PixelData = labelmap.astype(np.uint8).tobytes()
    write(ds, path)
want = {}
for patient, bg, names, pad in (("A0", 0, {0: "Background", 1: "liver", 2: "spleen"}, 0), ("B3", 3, {3: "Background", 1: "liver", 7: "spleen"}, 3)):
    made, volume = ct_series(DATA / patient, range(0, 15, 3), patient=patient, study=ord(patient[0]))
    L = np.full(volume.shape, bg)
    a, b = box(volume.shape, 4, 9, 3, 7, [1, 2, 3]), box(volume.shape, 11, 13, 2, 4, [2, 3])
    L[a] = 1; L[b] = 2 if bg == 0 else 7
    seg_of(made, L, names, DATA / patient / "seg.dcm", pad, bg)
    want[patient] = dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": a, "spleen": b})
expect(**want)
