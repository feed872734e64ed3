from kit import *

# A SEG on the source's own lattice, but written with rows and columns the other way (as a RAS label
# map gives it): IOP -1 0 0 0 -1 0, first pixel at the opposite corner. Each of its pixels lies on a
# pixel of the image.
import highdicom as hd
from pydicom.sr.codedict import codes
fresh()
made, volume = ct_series(DATA, range(0, 18, 3))
src = [pydicom.dcmread(f) for f in sorted(DATA.glob("im*.dcm"))]
a = box(volume.shape, 4, 9, 3, 7, [1, 2, 3]); a[2, 3, 4] = False
d = hd.seg.SegmentDescription(segment_number=1, segment_label="liver", segmented_property_category=codes.SCT.Organ, segmented_property_type=codes.SCT.Liver, algorithm_type="MANUAL")
seg = hd.seg.Segmentation(source_images=src, pixel_array=a.astype(np.uint8), segmentation_type="BINARY", segment_descriptions=[d], series_instance_uid=uid(49), series_number=9,
    sop_instance_uid=uid(49, 1), instance_number=1, manufacturer="made", manufacturer_model_name="made", software_versions="1", device_serial_number="1", omit_empty_frames=False)
bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")[:a.size].reshape(a.shape)
order = [int(round(float(f.PlanePositionSequence[0].ImagePositionPatient[2]) / 3)) for f in seg.PerFrameFunctionalGroupsSequence]
assert (bits == a[order]).all()
seg.PixelData = np.packbits(bits[:, ::-1, ::-1].ravel(), bitorder="little").tobytes()
seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
for f in seg.PerFrameFunctionalGroupsSequence:
    p = f.PlanePositionSequence[0].ImagePositionPatient; f.PlanePositionSequence[0].ImagePositionPatient = [-16 + 15 * 2, -12 + 11 * 2, p[2]]
seg.save_as(DATA / "seg.dcm")
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": a}))
