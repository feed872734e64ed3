from kit import *

# A BINARY SEG in Deflated Image Frame Compression (2025a): each frame's packed bits, deflated (RFC
# 1951), a fragment each.
import highdicom as hd, zlib
from pydicom.sr.codedict import codes
from pydicom.encaps import encapsulate
fresh()
made, volume = ct_series(DATA, range(0, 18, 3), rows=12, columns=16)
src = [pydicom.dcmread(f) for f in sorted(DATA.glob("im*.dcm"))]
a = box(volume.shape, 4, 9, 3, 7, [1, 2, 3])
d = hd.seg.SegmentDescription(segment_number=1, segment_label="liver", segmented_property_category=codes.SCT.Organ, segmented_property_type=codes.SCT.Liver,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL)
seg = hd.seg.Segmentation(source_images=src, pixel_array=a.astype(np.uint8), segmentation_type="BINARY", segment_descriptions=[d], series_instance_uid=uid(31),
        series_number=9, sop_instance_uid=uid(31, 1), instance_number=1, manufacturer="made", manufacturer_model_name="made", software_versions="1", device_serial_number="1")
n = int(seg.NumberOfFrames); size = seg.Rows * seg.Columns // 8
frames = []
for k in range(n):
    c = zlib.compressobj(9, zlib.DEFLATED, -15); f = c.compress(seg.PixelData[k * size:(k + 1) * size]) + c.flush(); frames.append(f + b"\0" * (len(f) % 2))
seg.PixelData = encapsulate(frames); seg["PixelData"].is_undefined_length = True; seg["PixelData"].VR = "OB"
seg.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.8.1"
seg.save_as(DATA / "seg.dcm")
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": a}))
