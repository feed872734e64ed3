"""Small synthetic DICOM objects and volumes for the cases: `from kit import *`, then write below DATA."""
import os, sys, pathlib, shutil, json
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pydicom._uid_dict import UID_dictionary
for _u in ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.8.1"):
    UID_dictionary.setdefault(_u, ("newer than pydicom", "Transfer Syntax", "", "", "Newer"))

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent)
DATA = HERE / "data"
ROOT_UID = "1.2.826.0.1.3680043.10.1357."
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PT = "1.2.840.10008.5.1.4.1.1.128"
RTSS = "1.2.840.10008.5.1.4.1.1.481.3"


def fresh():
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(parents=True)
    return DATA


def uid(*parts):
    return ROOT_UID + ".".join(str(p) for p in parts)


def write(ds, path, syntax=ExplicitVRLittleEndian):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = uid(9, 9)
    ds.file_meta = meta
    ds.preamble = b"\0" * 128
    ds.save_as(str(path), enforce_file_format=True)


def texture(z, columns=16, rows=12, low=-1000):
    """Values that tell slice, row and column apart."""
    y, x = np.mgrid[0:rows, 0:columns]
    return (low + 60 * z + 7 * y + 3 * x + (x * y) % 5).astype(np.int16)


def slice_(number, z, pixels, *, patient="P1", study=1, series=1, frame=1, cls=CT, modality="CT", spacing=(2.0, 2.0),
           thickness=3.0, origin=(-16.0, -12.0), slope=1, intercept=-1024, iop=(1, 0, 0, 0, 1, 0), instance=None, acq=1):
    ds = Dataset()
    ds.SOPClassUID = cls
    ds.SOPInstanceUID = uid(study, series, 1000 + number) if instance is None else instance
    ds.StudyInstanceUID = uid(study)
    ds.SeriesInstanceUID = uid(study, series)
    ds.FrameOfReferenceUID = uid(77, frame)
    ds.PatientID = patient
    ds.PatientName = "Nobody^Test"
    ds.PatientBirthDate, ds.PatientSex, ds.StudyID, ds.ReferringPhysicianName = "", "", "1", ""
    ds.StudyDate = "20240102"
    ds.StudyTime = "101500"
    ds.AccessionNumber = ""
    ds.Modality = modality
    ds.Manufacturer = "made"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if modality == "CT" else ["ORIGINAL", "PRIMARY"]
    ds.SeriesNumber = series
    ds.InstanceNumber = number + 1
    if acq is not None:
        ds.AcquisitionNumber = acq
    ds.ImagePositionPatient = [origin[0], origin[1], z] if len(origin) == 2 else list(origin)
    ds.ImageOrientationPatient = list(iop)
    ds.PixelSpacing = [spacing[0], spacing[1]]
    ds.SliceThickness = thickness
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    signed = pixels.dtype.kind == "i"
    ds.PixelRepresentation = int(signed)
    if slope is not None:
        ds.RescaleSlope = slope
        ds.RescaleIntercept = intercept
    if modality == "CT":
        ds.KVP = 120
    ds.PixelData = pixels.astype("<i2" if signed else "<u2").tobytes()
    return ds


def hu(stored, slope=1.0, intercept=-1024.0):
    return stored.astype(np.float64) * slope + intercept


def ct_series(folder, zs, *, stored=None, edit=None, rows=12, columns=16, **kw):
    """A CT series; gives the data sets and the volume of intensities (z, y, x)."""
    made, volume = [], []
    for n, z in enumerate(zs):
        px = (texture(n, columns, rows) + 1024 + 200).astype(np.uint16) if stored is None else stored(n)
        ds = slice_(n, float(z), px, **kw)
        if edit:
            edit(n, ds)
        write(ds, pathlib.Path(folder) / f"im{n:03d}.dcm")
        made.append(ds)
        volume.append(hu(px, kw.get("slope", 1) or 1, kw.get("intercept", -1024)))
    return made, np.array(volume)


def rtstruct(path, refs, rois, *, instance=1, series=50, frame=None, with_images=True, per_contour=True, date="20240103",
             edit=None, charset=None, ref_frame=None):
    """rois: list of (number, name, contours); a contour is (type, [[x, y, z], ...]) or None for no ContourSequence."""
    first = refs[0]
    ds = Dataset()
    if charset:
        ds.SpecificCharacterSet = charset
    ds.SOPClassUID = RTSS
    ds.SOPInstanceUID = uid(50, series, instance)
    ds.StudyInstanceUID = first.StudyInstanceUID
    ds.SeriesInstanceUID = uid(50, series)
    ds.PatientID = first.PatientID
    ds.PatientName = "Nobody^Test"
    ds.Modality = "RTSTRUCT"
    ds.Manufacturer = "made"
    ds.StudyDate = "20240102"
    ds.StudyTime = "101500"
    ds.StructureSetLabel = "made"
    ds.StructureSetDate = date
    ds.StructureSetTime = "120000"
    ds.FrameOfReferenceUID = frame or first.FrameOfReferenceUID
    if with_images:
        images = Sequence()
        for r in refs:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = r.SOPClassUID, r.SOPInstanceUID
            images.append(item)
        rs = Dataset()
        rs.SeriesInstanceUID = first.SeriesInstanceUID
        rs.ContourImageSequence = images
        st = Dataset()
        st.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
        st.ReferencedSOPInstanceUID = first.StudyInstanceUID
        st.RTReferencedSeriesSequence = Sequence([rs])
        fr = Dataset()
        fr.FrameOfReferenceUID = ref_frame or frame or first.FrameOfReferenceUID
        fr.RTReferencedStudySequence = Sequence([st])
        ds.ReferencedFrameOfReferenceSequence = Sequence([fr])
    ds.StructureSetROISequence, ds.ROIContourSequence, ds.RTROIObservationsSequence = Sequence(), Sequence(), Sequence()
    for number, name, contours in rois:
        roi = Dataset()
        roi.ROINumber = number
        roi.ReferencedFrameOfReferenceUID = frame or first.FrameOfReferenceUID
        roi.ROIName = name
        roi.ROIGenerationAlgorithm = "MANUAL"
        ds.StructureSetROISequence.append(roi)
        if contours != "no item":
            rc = Dataset()
            rc.ReferencedROINumber = number
            if contours is not None:
                rc.ContourSequence = Sequence()
                for kind, points in contours:
                    c = Dataset()
                    c.ContourGeometricType = kind
                    c.NumberOfContourPoints = len(points)
                    c.ContourData = [f"{v:.4f}" for p in points for v in p] if len(points) else None
                    if per_contour and len(points):
                        near = min(refs, key=lambda r: abs(float(r.ImagePositionPatient[2]) - points[0][2]))
                        item = Dataset()
                        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = near.SOPClassUID, near.SOPInstanceUID
                        c.ContourImageSequence = Sequence([item])
                    rc.ContourSequence.append(c)
            ds.ROIContourSequence.append(rc)
        ob = Dataset()
        ob.ObservationNumber, ob.ReferencedROINumber = number, number
        ob.RTROIInterpretedType, ob.ROIInterpreter = "", ""
        ds.RTROIObservationsSequence.append(ob)
    if edit:
        edit(ds)
    write(ds, path)
    return ds


def square(x0, x1, y0, y1, z):
    """Corners in mm."""
    return [[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]


def px_square(c0, c1, r0, r1, z, origin=(-16.0, -12.0), spacing=(2.0, 2.0), inset=0.5):
    """A closed square round the pixel centres c0..c1 (columns), r0..r1 (rows), half a pixel outside of them."""
    x = lambda c: origin[0] + c * spacing[1]
    y = lambda r: origin[1] + r * spacing[0]
    return square(x(c0 - inset), x(c1 + inset), y(r0 - inset), y(r1 + inset), z)


def box(shape, c0, c1, r0, r1, slices):
    """The mask (z, y, x) of a box of pixels on some slices."""
    m = np.zeros(shape, bool)
    for z in slices:
        m[z, r0:r1 + 1, c0:c1 + 1] = True
    return m


def lps_affine(origin, spacing, iop=(1, 0, 0, 0, 1, 0), step=None):
    """RAS+ affine for arrays (x, y, z)."""
    row, col = np.array(iop[:3], float), np.array(iop[3:], float)
    a = np.eye(4)
    a[:3, 0], a[:3, 1] = row * spacing[1], col * spacing[0]
    a[:3, 2] = step
    a[:3, 3] = origin
    return np.diag([-1, -1, 1, 1]) @ a


def expect(**cases):
    """Writes what is right: name -> dict(image=(z,y,x) or None, affine=..., labels={name: (z,y,x) mask})."""
    out = {}
    for name, case in cases.items():
        if case.get("image") is not None:
            out[f"{name}/image"] = np.asarray(case["image"], np.float64)
        if case.get("affine") is not None:
            out[f"{name}/affine"] = case["affine"]
        for label, mask in case.get("labels", {}).items():
            out[f"{name}/label/{label}"] = np.asarray(mask, bool)
    np.savez_compressed(HERE / "expected.npz", **out)
