from kit import *

# Enhanced PET: the unit stands in the real world value mapping of each frame, and decay is
# corrected to a stated moment. One object maps to Bq/ml, one to SUVbw beside Bq/ml. Values of SUV 1
# to 3.
fresh()
want = {}
half_life, dose, weight = 6586.2, 3.5e8, 70.0
def code(value, meaning):
    c = Dataset(); c.CodeValue, c.CodingSchemeDesignator, c.CodeMeaning = value, "UCUM", meaning
    return Sequence([c])
def mapping(value, slope):
    m = Dataset(); m.RealWorldValueFirstValueMapped, m.RealWorldValueLastValueMapped = 0, 65535
    m.RealWorldValueIntercept, m.RealWorldValueSlope, m.LUTLabel = 0.0, float(slope), value
    m.MeasurementUnitsCodeSequence = code(value, value)
    return m
for p, name in enumerate(("bqml", "suv")):
    stored = [(texture(n, low=0) + 500).astype(np.uint16) for n in range(5)]
    ds = slice_(0, 0.0, stored[0], cls="1.2.840.10008.5.1.4.1.1.130", modality="PT", patient=f"P{p}", study=p + 1, slope=None)
    for t in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "AcquisitionNumber"):
        if t in ds: delattr(ds, t)
    ds.NumberOfFrames = len(stored)
    ds.PatientWeight, ds.DecayCorrected, ds.AttenuationCorrected = weight, "YES", "YES"
    ds.DecayCorrectionDateTime = "20240102101500"
    r = Dataset(); r.RadionuclideTotalDose, r.RadionuclideHalfLife, r.RadiopharmaceuticalStartDateTime = dose, half_life, "20240102091500"
    ds.RadiopharmaceuticalInformationSequence = Sequence([r])
    ds.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    ds.PerFrameFunctionalGroupsSequence = Sequence()
    suv_of_bqml = weight * 1000 / (dose * 2 ** (-3600 / half_life))
    volume = []
    for n, px in enumerate(stored):
        f = Dataset()
        q = Dataset(); q.ImagePositionPatient = [-16, -12, 3.0 * n]; f.PlanePositionSequence = Sequence([q])
        o = Dataset(); o.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]; f.PlaneOrientationSequence = Sequence([o])
        m = Dataset(); m.PixelSpacing, m.SliceThickness = [2, 2], 3; f.PixelMeasuresSequence = Sequence([m])
        c = Dataset(); c.DimensionIndexValues, c.StackID, c.InStackPositionNumber = [1, n + 1], "1", n + 1
        c.FrameAcquisitionDateTime, c.FrameAcquisitionDuration = "20240102101600", 120000.0
        f.FrameContentSequence = Sequence([c])
        t = Dataset(); t.RescaleSlope, t.RescaleIntercept, t.RescaleType = 1, 0, "US"; f.PixelValueTransformationSequence = Sequence([t])
        bqml = 10.0 * (n + 1)
        f.RealWorldValueMappingSequence = Sequence([mapping("Bq/ml", bqml)] + ([mapping("{SUVbw}g/ml", 0.002 * (n + 1))] if name == "suv" else []))
        ds.PerFrameFunctionalGroupsSequence.append(f)
        volume.append(px * (0.002 * (n + 1) if name == "suv" else bqml * suv_of_bqml))
    ds.PixelData = np.array(stored).astype("<u2").tobytes()
    write(ds, DATA / name / "pet.dcm")
    ds.ImagePositionPatient = [-16, -12, 0.0]
    rtstruct(DATA / name / "rs.dcm", [ds], [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])], series=60 + p)
    want[name] = dict(image=np.array(volume), affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box((5, 12, 16), 4, 9, 3, 7, [1, 2, 3])})
expect(**want)
