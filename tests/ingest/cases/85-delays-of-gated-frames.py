from kit import *

# Enhanced MR whose frames are told apart by the actual cardiac delay, by the respiratory delay, or
# by the offset of a temporal position; all of them drift from slice to slice. Frames are stored
# slice after slice, and nothing else differs.
fresh()
want = {}
for number, (name, group, element) in enumerate([("cardiac", "CardiacSynchronizationSequence", "ActualCardiacTriggerDelayTime"),
        ("respiratory", "RespiratorySynchronizationSequence", "NominalRespiratoryTriggerDelayTime"), ("offset", "TemporalPositionSequence", "TemporalPositionTimeOffset")]):
    phases = [[texture(z) + 1300 + 100 * phase + 7 * number for z in range(4)] for phase in range(3)]
    ds = slice_(0, 0.0, phases[0][0].astype(np.uint16), cls="1.2.840.10008.5.1.4.1.1.4.1", modality="MR", slope=None, patient=name, study=60 + number)
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "AcquisitionNumber"): delattr(ds, tag)
    plane, measures, shared = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient, measures.PixelSpacing, measures.SliceThickness = [1, 0, 0, 0, 1, 0], [2, 2], 3
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([plane]), Sequence([measures])
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence, ds.NumberOfFrames = Sequence([shared]), Sequence(), 12
    for z, phase in [(z, phase) for z in range(4) for phase in (2, 0, 1)]:
        place, times, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [-16, -12, 3.0 * z]
        setattr(times, element, phase * (300.0 if name == "offset" else 300.0 + z))
        frame.PlanePositionSequence = Sequence([place])
        setattr(frame, group, Sequence([times]))
        ds.PerFrameFunctionalGroupsSequence.append(frame)
    ds.PixelData = np.array([phases[phase][z] for z in range(4) for phase in (2, 0, 1)]).astype("<u2").tobytes()
    write(ds, DATA / name / "mr.dcm")
    for phase in range(3):
        want[f"{name}{phase}"] = dict(image=phases[phase], affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]))
expect(**want)
