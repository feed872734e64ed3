"""Small trees of files in the layouts in which public data sets come, made of the synthetic sample cohorts.

Each function of LAYOUTS writes one below a folder and returns what is right of it: `cases` that are usable, `patients`
where no two cases look alike, `labels` by name, `split` by case where the layout states one, `channels`, and `image`, the
file or folder of a case that a trained network is to segment.
"""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from scipy.ndimage import zoom

SAMPLES = Path(__file__).resolve().parents[2] / "sample-data"
UID = "1.2.826.0.1.3680043.10.1357.29."
CT_CLASS, MR_CLASS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
CT_LABELS = {1: "lung_left", 2: "lung_right", 3: "heart", 4: "spinal_cord", 5: "esophagus"}
WITH_AN_EMPTY_ONE = {**CT_LABELS, 99: "kidney_left"}
COUNT = 9


def load(modality, number):
    """Image, labels (both x, y, z) and affine of a case of the samples."""
    path = SAMPLES / modality / "images" / f"{modality}_{number:02d}.nii.gz"
    image, labels = nib.load(path), nib.load(str(path).replace("/images/", "/labels/"))
    return np.asarray(image.dataobj).astype(np.float32), np.asarray(labels.dataobj).astype(np.uint8), image.affine


def save(path, voxels, affine, dtype=np.int16):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.asarray(voxels).astype(dtype), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, path)


def save_nrrd(path, voxels, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"space": "RAS", "space directions": affine[:3, :3].T, "space origin": affine[:3, 3], "encoding": "gzip"}
    nrrd.write(str(path), np.asarray(voxels), header)


def save_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1))


def merged(labels, values):
    """Labels under other values; those that are not named become background."""
    out = np.zeros_like(labels)
    for old, new in values.items():
        out[labels == old] = new
    return out


def sequences(image, labels, number, count):
    """Further sequences of an MR scan: the same anatomy in other contrasts."""
    noise = np.random.default_rng(number)
    gains = [np.array([1.0] + [1 + 0.2 * ((k * 7 + v * 3) % 5 - 2) for v in range(1, 6)]) for k in range(count)]
    return [np.clip(image * gain[labels] + noise.normal(0, 5, image.shape), 0, None) for gain in gains]


def middle(image, labels):
    """The slice across the third axis with most of the heart."""
    place = int(np.argmax((labels == 3).sum((0, 1))))
    return image[:, :, place], labels[:, :, place]


def save_dicom(folder, voxels, affine, number, *, modality="CT", series=1, name="i{:04d},0000b.dcm", descending=True):
    """A series of the volume, whose files count along the slices' normal or, as in CHAOS, against it."""
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / spacing
    folder.mkdir(parents=True, exist_ok=True)
    count = voxels.shape[2]
    for place in range(count):
        file = count - 1 - place if descending else place
        ds = Dataset()
        ds.SOPClassUID = CT_CLASS if modality == "CT" else MR_CLASS
        ds.SOPInstanceUID = f"{UID}{number}.{series}.{place + 1}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{UID}{number}", f"{UID}{number}.{series}"
        ds.FrameOfReferenceUID = f"{UID}{number}.9"
        ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = f"N{number}", "Nobody^Test", "", ""
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, series, file + 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImagePositionPatient = [float(v) for v in lps[:3, 3] + place * lps[:3, 2]]
        ds.ImageOrientationPatient = [float(v) for v in [*directions[:, 0], *directions[:, 1]]]
        ds.PixelSpacing, ds.SliceThickness = [float(spacing[1]), float(spacing[0])], float(spacing[2])
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = voxels.shape[1], voxels.shape[0]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        ds.PixelData = np.round(voxels[:, :, place].T).astype("<i2").tobytes()
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta, ds.preamble = meta, b"\0" * 128
        ds.save_as(folder / name.format(file), enforce_file_format=True)


def bids(root):
    save_json(root / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.10.0"})
    rows = []
    for n in range(1, COUNT + 1):
        for session in (1, 2) if n % 3 == 0 else (1,):
            image, labels, affine = load("mr", n)
            image = image + np.random.default_rng(n * 10 + session).normal(0, 10, image.shape)
            folder, name = f"sub-{n:02d}/ses-{session:02d}/anat", f"sub-{n:02d}_ses-{session:02d}"
            save(root / folder / f"{name}_T1w.nii.gz", image, affine)
            save(root / folder / f"{name}_FLAIR.nii.gz", image * 0.5 + 3, affine)
            mask = root / "derivatives" / "manual" / folder / f"{name}_space-T1w_label-lesion_mask.nii.gz"
            save(mask, labels == 3, affine, np.uint8)
        rows.append(f"sub-{n:02d}\t{'MF'[n % 2]}\t{40 + n}\tsite{n % 3}")
    (root / "participants.tsv").write_text("participant_id\tsex\tage\tsite\n" + "\n".join(rows) + "\n")
    image = "sub-01/ses-01/anat/sub-01_ses-01_T1w.nii.gz"
    return {"cases": 12, "patients": 9, "labels": ["lesion"], "image": image, "codes": ["images-unused"]}


def isles(root):
    for n in range(1, COUNT + 1):
        image, labels, affine = load("mr", n)
        name = f"sub-strokecase{n:04d}_ses-0001"
        for kind, voxels in zip(("dwi", "adc"), sequences(image, labels, n, 2)):
            save(root / f"sub-strokecase{n:04d}/ses-0001/dwi/{name}_{kind}.nii.gz", voxels, affine)
        mask = root / f"derivatives/sub-strokecase{n:04d}/ses-0001/{name}_msk.nii.gz"
        save(mask, labels == 3, affine, np.uint8)
    image = "sub-strokecase0001/ses-0001/dwi/sub-strokecase0001_ses-0001_dwi.nii.gz"
    return {"cases": COUNT, "patients": COUNT, "channels": ["dwi", "adc"], "image": image}


def totalsegmentator(root):
    splits = ["train"] * 6 + ["val"] + ["test"] * 2
    rows, split = [], {}
    for n in range(1, COUNT + 1):
        image, labels, affine = load("ct", n)
        case = f"s{n:04d}"
        save(root / case / "ct.nii.gz", image, affine)
        for value, name in WITH_AN_EMPTY_ONE.items():
            mask = (labels == 3) | (labels == 5) if name == "heart" else labels == value
            save(root / case / "segmentations" / f"{name}.nii.gz", mask, affine, np.uint8)
        split[case] = splits[n - 1]
        rows.append(f"{case};{50 + n};m;institute {n % 3};{splits[n - 1]}")
    (root / "meta.csv").write_text("image_id;age;gender;institute;split\n" + "\n".join(rows) + "\n")
    # the mask of the heart holds all of it
    labels = sorted(set(CT_LABELS.values()) - {"esophagus"})
    return {
        "cases": COUNT, "patients": COUNT, "labels": labels, "split": split, "image": "s0001/ct.nii.gz",
        "codes": ["overlapping-structures"],
    }


def nrrd_structures(root):
    names = {3: "Heart", 4: "SpinalCord"}
    for n in range(1, COUNT + 1):
        image, labels, affine = load("ct", n)
        case = root / f"0522c{n:04d}"
        save_nrrd(case / "img.nrrd", image.astype(np.int16), affine)
        for value, name in names.items():
            save_nrrd(case / "structures" / f"{name}.nrrd", (labels == value).astype(np.uint8), affine)
    return {"cases": COUNT, "patients": COUNT, "labels": list(names.values()), "image": "0522c0001/img.nrrd"}


def masks_beside_images(root):
    for n in range(1, COUNT + 1):
        image, labels, affine = load("ct", n)
        save(root / f"p{n}" / f"p{n}.nii.gz", image, affine)
        save(root / f"p{n}" / f"p{n}_heart_mask.nii.gz", labels == 3, affine, np.uint8)
        save(root / f"p{n}" / f"p{n}_cord_mask.nii.gz", labels == 4, affine, np.uint8)
    return {"cases": COUNT, "patients": COUNT, "labels": ["cord", "heart"], "image": "p1/p1.nii.gz"}


def brats2021(root):
    return brats(root, lambda n: f"BraTS2021_{n:05d}", ("t1", "t1ce", "t2", "flair"), "_", 4, COUNT)


def brats2023(root):
    def name(n):
        return f"BraTS-GLI-{(n + 1) // 2:05d}-{n % 2:03d}"

    return brats(root, name, ("t1n", "t1c", "t2w", "t2f"), "-", 3, (COUNT + 1) // 2)


def brats(root, name, kinds, separator, enhancing, patients):
    for n in range(1, COUNT + 1):
        image, labels, affine = load("mr", n)
        labels = merged(labels, {3: 2, 5: 1, 4: enhancing})
        for kind, voxels in zip(kinds, sequences(image, merged(labels, {1: 1, 2: 2, enhancing: 3}), n, 4)):
            save(root / name(n) / f"{name(n)}{separator}{kind}.nii.gz", voxels, affine)
        save(root / name(n) / f"{name(n)}{separator}seg.nii.gz", labels, affine, np.uint8)
    image = f"{name(1)}/{name(1)}{separator}{kinds[0]}.nii.gz"
    labels = ["necrotic tumour core", "peritumoural oedema", "enhancing tumour"]
    return {"cases": COUNT, "patients": patients, "labels": labels, "channels": list(kinds), "image": image}


def kits(root):
    for n in range(1, COUNT + 1):
        image, labels, affine = load("ct", n)
        labels = merged(labels, {1: 1, 2: 1, 3: 2, 5: 3})
        case = root / "dataset" / f"case_{n - 1:05d}"
        save(case / "imaging.nii.gz", image, affine)
        save(case / "segmentation.nii.gz", labels, affine, np.uint8)
        for annotation in (1, 2):
            mask = case / "instances" / f"kidney_instance-1_annotation-{annotation}.nii.gz"
            save(mask, labels == 1, affine, np.uint8)
    save_json(root / "dataset" / "kits23.json", [])
    image = "dataset/case_00000/imaging.nii.gz"
    return {"cases": COUNT, "patients": COUNT, "labels": ["kidney", "tumour", "cyst"], "image": image}


def lits(root):
    for n in range(COUNT):
        image, labels, affine = load("ct", n + 1)
        batch = root / f"Training Batch {1 + n // 5}"
        save(batch / f"volume-{n}.nii", image, affine)
        save(batch / f"segmentation-{n}.nii", merged(labels, {1: 1, 2: 1, 3: 2}), affine, np.uint8)
    image = "Training Batch 1/volume-0.nii"
    return {"cases": COUNT, "patients": COUNT, "labels": ["liver", "liver tumour"], "image": image}


def amos(root):
    split = {}
    ct = [(n, n, "Tr" if n < 8 else "Va") for n in range(1, 10)]
    for number, ident, part in [*ct, (10, 10, "Ts"), *[(n, 500 + n, "Tr" if n < 3 else "Va") for n in range(1, 4)]]:
        image, labels, affine = load("ct" if ident < 500 else "mr", number)
        save(root / f"images{part}" / f"amos_{ident:04d}.nii.gz", image, affine)
        if part != "Ts":
            save(root / f"labels{part}" / f"amos_{ident:04d}.nii.gz", labels, affine, np.uint8)
            split[f"amos_{ident:04d}"] = {"Tr": "train", "Va": "val"}[part]
    labels = ["left lung", "right lung", "heart", "spinal cord", "esophagus"]
    names = {"0": "background", **{str(k + 1): name for k, name in enumerate(labels)}}
    save_json(root / "dataset.json", {"name": "AMOS", "modality": {"0": "CT"}, "tensorImageSize": "3D", "labels": names})
    split = {case: part for case, part in split.items() if int(case[5:]) < 500}
    image = "imagesTs/amos_0010.nii.gz"
    return {"cases": 9, "patients": 9, "labels": labels, "split": split, "image": image, "rejected": 3}


def decathlon_4d(root):
    names = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    for n in range(1, COUNT + 1):
        image, labels, affine = load("mr", n)
        save(root / "imagesTr" / f"BRATS_{n:03d}.nii.gz", np.stack(sequences(image, labels, n, 4), -1), affine, np.float32)
        save(root / "labelsTr" / f"BRATS_{n:03d}.nii.gz", merged(labels, {3: 1, 5: 2, 4: 3}), affine, np.uint8)
    labels = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    save_json(root / "dataset.json", {"name": "BRATS", "tensorImageSize": "4D", "modality": names, "labels": labels})
    image = "imagesTr/BRATS_001.nii.gz"
    return {
        "cases": COUNT, "patients": COUNT, "labels": list(labels.values())[1:], "channels": list(names.values()),
        "image": image,
    }


def nnunet_png(root):
    for n in range(1, 17):
        image, labels = middle(*load("ct", n)[:2])
        for folder in ("imagesTr", "labelsTr"):
            (root / folder).mkdir(exist_ok=True)
        grey = np.clip((image.T + 1000) / 6, 0, 255).astype(np.uint8)
        Image.fromarray(grey).save(root / "imagesTr" / f"img_{n:03d}_0000.png")
        Image.fromarray((labels.T == 3).astype(np.uint8)).save(root / "labelsTr" / f"img_{n:03d}.png")
    description = {"channel_names": {"0": "Xray"}, "labels": {"background": 0, "heart": 1}, "numTraining": 16, "file_ending": ".png"}
    save_json(root / "dataset.json", description)
    return {"cases": 16, "labels": ["heart"], "image": "imagesTr/img_001_0000.png", "codes": ["pixel-size-assumed"]}


def tiff_2d(root):
    for n in range(1, 17):
        image, labels = middle(*load("ct", n)[:2])
        for folder in ("images", "labels"):
            (root / folder).mkdir(exist_ok=True)
        Image.fromarray((image.T + 1024).clip(0, 4095).astype(np.uint16)).save(root / "images" / f"a{n}.tif")
        Image.fromarray(labels.T).save(root / "labels" / f"a{n}_mask.tif")
    return {"cases": 16, "image": "images/a1.tif", "codes": ["pixel-size-assumed"]}


def nifti_2d(root):
    for n in range(1, 17):
        image, labels = middle(*load("ct", n)[:2])
        affine = np.diag([7.0, 7, 1, 1])
        extra = (..., None) if n % 2 else ...
        save(root / "images" / f"c_{n:02d}.nii.gz", image[extra], affine)
        save(root / "labels" / f"c_{n:02d}.nii.gz", labels[extra], affine, np.uint8)
    return {"cases": 16, "image": "images/c_01.nii.gz"}


def hecktor(root):
    for n in range(1, COUNT + 1):
        image, labels, affine = load("ct", n)
        case, noise = f"{'CHUM' if n % 2 else 'CHUS'}-{n:03d}", np.random.default_rng(n)
        labels = merged(labels, {3: 1, 5: 2})
        pet = zoom(noise.gamma(2, 0.4, image.shape) + 4 * (labels == 1), 0.5, order=1)
        coarse = affine.copy()
        coarse[:3, :3] *= np.array(image.shape) / np.array(pet.shape)
        save(root / "imagesTr" / f"{case}__CT.nii.gz", image, affine)
        save(root / "imagesTr" / f"{case}__PT.nii.gz", pet, coarse, np.float32)
        save(root / "labelsTr" / f"{case}.nii.gz", labels, affine, np.uint8)
    return {"cases": COUNT, "patients": COUNT, "channels": ["CT", "PT"], "image": "imagesTr/CHUM-001__CT.nii.gz"}


def chaos(root):
    """CT: files in the order from head to feet, and a mask slice for each, by name."""
    for n in range(1, COUNT + 1):
        image, labels, affine = load("ct", n)
        case = root / "Train_Sets" / "CT" / str(n)
        save_dicom(case / "DICOM_anon", image, affine, n)
        (case / "Ground").mkdir(parents=True)
        for place in range(image.shape[2]):
            mask = Image.fromarray((255 * (labels[:, :, image.shape[2] - 1 - place].T == 3)).astype(np.uint8))
            mask.save(case / "Ground" / f"liver_GT_{place:03d}.png")
    voxels = {f"CT-{n}": int((load("ct", n)[1] == 3).sum()) for n in range(1, COUNT + 1)}
    return {
        "cases": COUNT, "patients": COUNT, "labels": ["liver"], "image": "Train_Sets/CT/1/DICOM_anon",
        "voxels": sorted(voxels.values()), "overlap": ("ct", 3),
    }


def dicom_and_nifti(root):
    """A folder of DICOM beside a mask in NIfTI, whose rows run the other way, as dcm2niix writes them."""
    for n in range(1, COUNT + 1):
        image, labels, affine = load("ct", n)
        save_dicom(root / f"case{n}" / "dicom", image, affine, n)
        flip = np.diag([1.0, -1, 1, 1])
        flip[1, 3] = labels.shape[1] - 1
        save(root / f"case{n}" / "mask.nii.gz", labels[:, ::-1], affine @ flip, np.uint8)
    voxels = sorted(int((load("ct", n)[1] == 3).sum()) for n in range(1, COUNT + 1))
    return {"cases": COUNT, "patients": COUNT, "image": "case1/dicom", "voxels3": voxels, "overlap": ("ct", 3)}


def dicom_table(root):
    expected = dicom_and_nifti(root)
    with open(root / "cohort.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "patient"])
        rows.writerows([(f"case{n}/dicom", f"case{n}/mask.nii.gz", f"p{n}") for n in range(1, COUNT + 1)])
    return expected


def structure_table(root):
    """A table with a column for each channel and each structure."""
    rows = []
    for n in range(1, COUNT + 1):
        image, labels, affine = load("mr", n)
        for kind, voxels in zip(("T1", "T2"), sequences(image, labels, n, 2)):
            save(root / "scans" / f"{n}_{kind}.nii.gz", voxels, affine)
        save(root / "drawn" / f"{n}a.nii.gz", labels == 1, affine, np.uint8)
        save(root / "drawn" / f"{n}b.nii.gz", labels == 3, affine, np.uint8)
        rows.append((n, f"scans/{n}_T1.nii.gz", f"scans/{n}_T2.nii.gz", f"drawn/{n}a.nii.gz", f"drawn/{n}b.nii.gz", f"p{n}"))
    with open(root / "cohort.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["case_id", "image_T1", "image_T2", "label_liver", "label_spleen", "patient"])
        table.writerows(rows)
    return {
        "cases": COUNT, "patients": COUNT, "labels": ["liver", "spleen"], "channels": ["T1", "T2"],
        "image": "scans/1_T1.nii.gz",
    }


def monai_datalist(root):
    items = []
    for n in range(1, 13):
        image, labels, affine = load("ct", n)
        save(root / "i" / f"a_{n:02d}.nii.gz", image, affine)
        save(root / "l" / f"a_{n:02d}.nii.gz", labels, affine, np.uint8)
        items.append({"image": f"i/a_{n:02d}.nii.gz", "label": f"l/a_{n:02d}.nii.gz", "fold": n % 3})
    save_json(root / "list.json", {"training": items[:10], "testing": items[10:]})
    split = {"a_11": "test", "a_12": "test"}
    return {"cases": 12, "patients": 12, "split": split, "image": "i/a_01.nii.gz", "cohort": "list.json", "codes": ["folds-given"]}


def hippocampus(root):
    """Decathlon without patients: as ever."""
    for n in range(1, COUNT + 1):
        image, labels, affine = load("mr", n)
        save(root / "imagesTr" / f"hippocampus_{n:03d}.nii.gz", image, affine)
        save(root / "labelsTr" / f"hippocampus_{n:03d}.nii.gz", merged(labels, {3: 1, 5: 2}), affine, np.uint8)
        (root / "imagesTr" / f"._hippocampus_{n:03d}.nii.gz").write_bytes(b"\0\5\26\7")
    names = {"0": "background", "1": "Anterior", "2": "Posterior"}
    save_json(root / "dataset.json", {"name": "Hippocampus", "tensorImageSize": "3D", "modality": {"0": "MRI"}, "labels": names})
    image = "imagesTr/hippocampus_001.nii.gz"
    return {"cases": COUNT, "patients": COUNT, "labels": ["Anterior", "Posterior"], "image": image}


LAYOUTS = [
    bids, isles, totalsegmentator, nrrd_structures, masks_beside_images, brats2021, brats2023, kits, lits, amos,
    decathlon_4d, nnunet_png, tiff_2d, nifti_2d, hecktor, chaos, dicom_and_nifti, dicom_table, structure_table,
    monai_datalist, hippocampus,
]


def make(layout, root):
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    return layout(root)
