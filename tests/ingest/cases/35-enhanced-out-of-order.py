from kit import *

# Enhanced MR: frames are out of spatial order in the file (3, 0, 4, 1, 2) although
# DimensionIndexValues claim 1..5; and one object with two geometries (brain and cord).
fresh()
want = {}
def enhanced(cls, modality, vols, groups, path, patient, study, shape):
    ds = slice_(0, 0.0, vols[0].astype(np.uint16), cls=cls, modality=modality, slope=None, patient=patient, study=study)
    for t in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "AcquisitionNumber"):
        if t in ds: delattr(ds, t)
    ds.NumberOfFrames = len(vols)
    ds.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    ds.PerFrameFunctionalGroupsSequence = Sequence()
    for g in groups:
        f = Dataset()
        p = Dataset(); p.ImagePositionPatient = g["pos"]; f.PlanePositionSequence = Sequence([p])
        o = Dataset(); o.ImageOrientationPatient = g.get("iop", [1, 0, 0, 0, 1, 0]); f.PlaneOrientationSequence = Sequence([o])
        m = Dataset(); m.PixelSpacing = g.get("sp", [2, 2]); m.SliceThickness = 3; f.PixelMeasuresSequence = Sequence([m])
        c = Dataset(); c.DimensionIndexValues = g["dim"]; c.StackID = g.get("stack", "1"); c.InStackPositionNumber = g["dim"][-1]
        if "acq" in g: c.FrameAcquisitionNumber = g["acq"]
        f.FrameContentSequence = Sequence([c])
        if "delay" in g:
            s = Dataset(); s.NominalCardiacTriggerDelayTime = g["delay"]; f.CardiacSynchronizationSequence = Sequence([s])
        if modality == "CT":
            r = Dataset(); r.RescaleSlope, r.RescaleIntercept, r.RescaleType = 1, -1024, "HU"; f.PixelValueTransformationSequence = Sequence([r])
        ds.PerFrameFunctionalGroupsSequence.append(f)
    ds.PixelData = np.array(vols).astype("<u2").tobytes()
    write(ds, path)
    ds.ImagePositionPatient = [-16, -12, 0.0]
    return ds
order = [3, 0, 4, 1, 2]
vols = [texture(z) + 1300 for z in order]
d = enhanced("1.2.840.10008.5.1.4.1.1.4.1", "MR", vols, [dict(pos=[-16, -12, 3.0 * z], dim=[1, k + 1]) for k, z in enumerate(order)], DATA / "order" / "mr.dcm", "order", 71, None)
c = [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * z)) for z in (1, 2)]
rtstruct(DATA / "order" / "rs.dcm", [d], [(1, "liver", c)], series=301)
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
want["order"] = dict(image=[texture(z) + 1300 for z in range(5)], affine=A, labels={"liver": box((5, 12, 16), 4, 9, 3, 7, [1, 2])})
vols = [texture(z) + 1300 for z in range(4)] + [texture(z) + 2300 for z in range(4)]
s = float(np.sin(0.3)); k = float(np.cos(0.3))
groups = [dict(pos=[-16, -12, 3.0 * z], dim=[1, z + 1]) for z in range(4)] + [dict(pos=[-16, -50 - 3.0 * s * z, -60 + 3.0 * k * z], iop=[1, 0, 0, 0, k, s], dim=[1, z + 5], sp=[1, 1]) for z in range(4)]
d = enhanced("1.2.840.10008.5.1.4.1.1.4.1", "MR", vols, groups, DATA / "two" / "mr.dcm", "two", 73, None)
rtstruct(DATA / "two" / "rs.dcm", [d], [(1, "liver", c)], series=303)
want["two-brain"] = dict(image=[texture(z) + 1300 for z in range(4)], affine=A, labels={"liver": box((4, 12, 16), 4, 9, 3, 7, [1, 2])})
want["two-cord"] = dict(image=[texture(z) + 2300 for z in range(4)], affine=lps_affine((-16, -50, -60), (1, 1), iop=(1, 0, 0, 0, k, s), step=[0, -3 * s, 3 * k]))
expect(**want)
